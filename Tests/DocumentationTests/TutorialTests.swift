import Foundation
import MachineFormat
import SoftwareHost
import Testing

@Suite("The tutorials")
struct TutorialTests {
    /// The pages whose code is a program that prints what the page shows.
    static let programs = ["DriveADevice", "BeADevice", "MachineWithoutHardware", "MoveADevice"]
    /// All of them, with the file that is compiled here.
    static let files =
        programs.map { ($0, "Tests/\($0)/main.swift") }
        + [("TestYourDriver", "Tests/DocumentationTests/EduTests.swift")]

    /// Runs a program that the build put beside the tests, and tells what it printed.
    private func output(of name: String) throws -> (text: String, code: Int32) {
        let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
        let folder = (bundle ?? URL(filePath: CommandLine.arguments[0])).deletingLastPathComponent()
        let process = Process()
        let pipe = Pipe()
        process.executableURL = folder.appending(path: name)
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (text, process.terminationStatus)
    }

    @Test("show the code that is compiled here, all of it", arguments: files)
    func code(_ name: String, _ file: String) throws {
        let page = try Page("Documentation/Tutorials/\(name).md")
        #expect(try page.program == Page.text(file))
    }

    @Test("show what their programs print", arguments: programs)
    func output(_ name: String) throws {
        let page = try Page("Documentation/Tutorials/\(name).md")
        let (text, code) = try output(of: name)
        #expect(code == 0)
        #expect(text == page.output)
    }

    @Test("describe packages with products that there are, and that their code needs", arguments: files)
    func package(_ name: String, _: String) throws {
        let page = try Page("Documentation/Tutorials/\(name).md")
        let manifest = try #require(page.blocks("swift").first)
        let products = manifest.matches(of: /\.product\(name: "(\w+)", package: "swift-vfio"\)/)
            .map { String($0.output.1) }
        #expect(!products.isEmpty)
        let own = try Page.text("Package.swift")
        for product in products { #expect(own.contains(".library(name: \"\(product)\"")) }
        #expect(manifest.contains("name: \"\(name == "TestYourDriver" ? "EduTests" : name)\""))
        // A module that is imported must come with one of the products.
        let modules = page.program.matches(of: /(?m)^import (\w+)$/).map { $0.output.1 }
        for module in modules where module != "Testing" {
            let comesWith = own.matches(of: /\.library\(name: "(\w+)", targets: \[([^\]]*)\]\)/).contains {
                products.contains(String($0.output.1)) && $0.output.2.contains("\"\(module)\"")
            }
            #expect(comesWith, "\(module) isn't in a product that the page names")
        }
    }
}

@Suite("The pages")
struct PageTests {
    static let pages =
        ["README.md", "CONTRIBUTING.md"] + Page.files(in: "Documentation", ending: ".md")
        + Page.files(in: "docs", ending: ".md")

    @Test("link to files that there are", arguments: pages)
    func links(_ path: String) throws {
        let page = try Page(path)
        let folder = path.split(separator: "/").dropLast()
        for link in page.links {
            var place = Array(folder)
            for part in link.split(separator: "/") where part != "." {
                if part == ".." { _ = place.popLast() } else { place.append(part) }
            }
            #expect(Page.exists(place.joined(separator: "/")), "\(path) links to \(link)")
        }
    }

    @Test("describe machines that can be made", arguments: pages)
    func machines(_ path: String) throws {
        let blocks = try Page(path).blocks("json").filter { $0.contains("\"groups\"") }
        // An image is a file of the reader's.
        for block in blocks where !block.contains("\"image\"") {
            let machine = try MachineFile.parse(Array(block.utf8), folder: "/")
            _ = try SoftwareHost(machine)
        }
    }

    @Test("name faults that can be injected", arguments: pages)
    func faults(_ path: String) throws {
        for match in try Page(path).text.matches(of: /--fault ([a-z][^\s`]*)/) {
            #expect(throws: Never.self, "\(match.output.1)") { try FaultRule(String(match.output.1)) }
        }
    }

    @Test("of design have a number, an index that names each of them, and four parts")
    func records() throws {
        let records = Page.files(in: "docs/design", ending: ".md").filter { !$0.hasSuffix("README.md") }
        #expect(!records.isEmpty)
        let index = try Page("docs/design/README.md")
        #expect(Set(index.links) == Set(records.map { String($0.dropFirst("docs/design/".count)) }))
        for (number, path) in records.enumerated() {
            let name = path.dropFirst("docs/design/".count)
            #expect(Int(name.prefix(4)) == number + 1, "\(name)")
            let text = try Page(path).text
            for part in ["Context", "Decision", "Alternatives", "Consequences"] {
                #expect(text.contains("\n## \(part)\n"), "\(name) has no \(part)")
            }
            let folders = /`((?:Sources|Tests|Scripts|Embedded|Documentation|docs)\/[\w\/.+-]+)`/
            let paths = text.matches(of: folders)
            for match in paths { #expect(Page.exists(String(match.output.1)), "\(name): \(match.output.1)") }
        }
    }
}
