import Foundation
import Testing

/// The optimiser may not drop, merge, split or move an access that a device sees. This compiles LinuxSystem and
/// a few probes as a release build does and reads the machine code.
@Suite("What the optimiser leaves of register and ring accesses")
struct CodegenTests {
    static let probes = """
        import LinuxSystem

        @inline(never) public func poll(_ address: UInt) -> Int {
            let window = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: address), byteCount: 64)
            var spins = 0
            while window.load32(16) & 1 == 0 { spins += 1 }
            return spins
        }

        @inline(never) public func ring(_ ring: UInt, _ registers: UInt) {
            let entries = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: ring), byteCount: 64)
            let doorbell = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: registers), byteCount: 64)
            entries.store(UInt32(0x1111_1111), at: 0)
            entries.store(UInt32(0x2222_2222), at: 16)
            Fence.beforeDoorbell()
            doorbell.store32(8, 0x3333_3333)
            entries.store(UInt32(0x4444_4444), at: 0)
            Fence.beforeDoorbell()
            doorbell.store32(8, 0x5555_5555)
        }

        @inline(never) public func twice(_ address: UInt) -> UInt32 {
            let window = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: address), byteCount: 64)
            window.store32(4, 0x6666_6666)
            window.store32(4, 0x6666_6666)
            _ = window.load32(4)
            return window.load32(4)
        }

        @inline(never) public func halves(_ address: UInt, _ value: UInt64) -> UInt64 {
            let window = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: address), byteCount: 64)
            window.store64LowHigh(8, value)
            return window.load64LowHigh(8)
        }
        """

    /// The instructions of each probe, one per element, without comments and directives but with labels.
    static let assembly: Result<[String: [String]], CodegenFailure> = {
        do { return .success(try compile()) } catch let error as CodegenFailure {
            return .failure(error)
        } catch {
            return .failure(CodegenFailure(text: "\(error)"))
        }
    }()

    struct CodegenFailure: Error { let text: String }

    static func compile() throws -> [String: [String]] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = FileManager.default.temporaryDirectory.appending(path: "codegen-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let sources = root.appending(path: "Sources/LinuxSystem")
        let files = try FileManager.default.contentsOfDirectory(atPath: sources.path)
            .filter { $0.hasSuffix(".swift") }.map { sources.appending(path: $0).path }
        let common = [
            "swiftc", "-O", "-wmo", "-parse-as-library", "-swift-version", "6",
            "-enable-experimental-feature", "Lifetimes", "-I", root.appending(path: "Sources/CLinux").path,
        ]
        try run(
            common + [
                "-module-name", "LinuxSystem", "-emit-module", "-emit-module-path",
                folder.appending(path: "LinuxSystem.swiftmodule").path,
            ] + files)
        let probe = folder.appending(path: "Probe.swift")
        try Data(probes.utf8).write(to: probe)
        let output = folder.appending(path: "Probe.s")
        try run(
            common + ["-module-name", "Probe", "-I", folder.path, "-S", "-o", output.path, probe.path])
        return functions(String(decoding: try Data(contentsOf: output), as: UTF8.self))
    }

    static func run(_ command: [String]) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw CodegenFailure(text: text) }
    }

    static func functions(_ assembly: String) -> [String: [String]] {
        var result: [String: [String]] = [:]
        var current: String?
        for line in assembly.split(separator: "\n") {
            let code = line.split(separator: "#", omittingEmptySubsequences: false).first ?? ""
            let text = code.trimmingCharacters(in: .whitespaces)
            // A mangled name: module, then the function's name with its length in front.
            if let name = ["poll", "ring", "twice", "halves"].first(where: {
                text.hasPrefix("$s5Probe\($0.count)\($0)") && text.contains(":")
            }) {
                current = name
                result[name] = []
            } else if text.hasPrefix(".cfi_endproc") {
                current = nil
            } else if let name = current, !text.hasPrefix("#"), !text.hasPrefix("//"),
                !text.hasPrefix(".") || text.hasPrefix(".L")
            {
                result[name, default: []].append(text.replacingOccurrences(of: "\t", with: " "))
            }
        }
        return result
    }

    func probe(_ name: String) throws -> [String] {
        switch Self.assembly {
        case .success(let functions): return try #require(functions[name], "no such probe in the assembly")
        case .failure(let failure): throw failure
        }
    }

    /// Whether an instruction loads from memory (and isn't a return or a stack access).
    func isLoad(_ line: String) -> Bool {
        #if arch(arm64)
            return line.hasPrefix("ldr ") || line.hasPrefix("ldur ")
        #else
            if line.hasPrefix("test") || line.hasPrefix("cmp") || line.hasPrefix("bt") {
                return line.contains("(%")
            }
            guard line.hasPrefix("mov"), let paren = line.firstIndex(of: "("),
                let comma = line.lastIndex(of: ",")
            else {
                return false
            }
            return paren < comma && !line.contains("%rsp") && !line.contains("%rbp")
        #endif
    }

    func isStore(_ line: String) -> Bool {
        #if arch(arm64)
            return (line.hasPrefix("str ") || line.hasPrefix("stur ")) && !line.contains("[sp")
        #else
            guard line.hasPrefix("mov"), let paren = line.lastIndex(of: "("),
                let comma = line.lastIndex(of: ",")
            else {
                return false
            }
            return comma < paren && !line.contains("%rsp") && !line.contains("%rbp")
        #endif
    }

    @Test("A polling loop loads the register on every turn")
    func polling() throws {
        let lines = try probe("poll")
        var found = false
        for (index, line) in lines.enumerated() {
            // A jump back to a label before it makes a loop; the loop must hold a load.
            guard let target = line.split(separator: " ").last, target.hasPrefix(".L"), !line.hasSuffix(":"),
                let label = lines.firstIndex(of: "\(target):"), label < index
            else { continue }
            found = true
            #expect(
                lines[label...index].contains(where: isLoad),
                "no load inside the loop:\n\(lines.joined(separator: "\n"))")
        }
        #expect(found, "the loop is gone:\n\(lines.joined(separator: "\n"))")
    }

    @Test("Ring entries are all stored before their doorbell, and the doorbell twice")
    func ringing() throws {
        let lines = try probe("ring")
        #expect(lines.filter(isStore).count == 5, "\(lines.joined(separator: "\n"))")
        #if arch(x86_64)
            // 0x11111111, 0x22222222 | 0x33333333 | 0x44444444 | 0x55555555
            let order = [286_331_153, 572_662_306, 858_993_459, 1_145_324_612, 1_431_655_765]
            let seen = lines.filter(isStore).compactMap { line in order.first { line.contains("$\($0),") } }
            #expect(
                seen == order || seen == [order[1], order[0]] + order[2...],
                "\(lines.joined(separator: "\n"))")
        #else
            #expect(lines.filter { $0.hasPrefix("dmb") }.count == 2)
        #endif
    }

    @Test("Equal stores and repeated loads all stay")
    func repeating() throws {
        let lines = try probe("twice")
        #expect(lines.filter(isStore).count == 2, "\(lines.joined(separator: "\n"))")
        #expect(lines.filter(isLoad).count == 2, "\(lines.joined(separator: "\n"))")
    }

    @Test("A 64-bit register asked for in halves is accessed as two times 32 bits")
    func halves() throws {
        let lines = try probe("halves")
        #expect(lines.filter(isStore).count == 2, "\(lines.joined(separator: "\n"))")
        #expect(lines.filter(isLoad).count == 2, "\(lines.joined(separator: "\n"))")
    }
}
