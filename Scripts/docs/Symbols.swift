// Looks into what the compiler and SwiftPM tell of the package's public symbols; for Scripts/check-docs.
//
//   symbols modules FILE                 `swift package dump-package`: the targets behind library products
//   symbols check MODULE FOLDER CATALOG  the symbol graphs of a module, and the folder with its pages
//
// `check` prints a line for each problem and ends with 1 if there are any.
import Foundation

typealias Object = [String: Any]

func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("check-docs: \(message)\n".utf8))
    exit(2)
}

func object(at path: String) -> Object {
    guard let data = FileManager.default.contents(atPath: path),
        let json = try? JSONSerialization.jsonObject(with: data) as? Object
    else { fail("\(path) can't be read as JSON") }
    return json
}

/// The targets of library products, and those that they depend on.
func modules(of package: Object) -> [String] {
    let targets = package["targets"] as? [Object] ?? []
    var dependencies: [String: [String]] = [:]
    for target in targets where ["regular", "executable"].contains(target["type"] as? String ?? "") {
        guard let name = target["name"] as? String else { continue }
        dependencies[name] = (target["dependencies"] as? [Object] ?? []).compactMap { entry in
            (entry["byName"] as? [Any])?.first as? String ?? (entry["target"] as? [Any])?.first as? String
        }
    }
    var found: [String] = []
    func visit(_ name: String) {
        guard let below = dependencies[name], !found.contains(name) else { return }
        below.sorted().forEach(visit)
        found.append(name)
    }
    for product in package["products"] as? [Object] ?? [] {
        guard (product["type"] as? Object)?["library"] != nil else { continue }
        (product["targets"] as? [String] ?? []).forEach(visit)
    }
    return found
}

/// A symbol of a graph.
struct Symbol {
    let kind: String
    let path: [String]
    let lines: [String]
    let place: String

    init(_ json: Object) {
        kind = ((json["kind"] as? Object)?["identifier"] as? String ?? "symbol").replacing("swift.", with: "")
        path = json["pathComponents"] as? [String] ?? []
        let comment = (json["docComment"] as? Object)?["lines"] as? [Object] ?? []
        lines = comment.compactMap { $0["text"] as? String }
        let location = json["location"] as? Object
        let line = (location?["position"] as? Object)?["line"] as? Int
        let file = (location?["uri"] as? String)?.replacing("file://", with: "") ?? "?"
        let root = FileManager.default.currentDirectoryPath + "/"
        let path = file.hasPrefix(root) ? String(file.dropFirst(root.count)) : file
        place = path + ":\(line.map { $0 + 1 } ?? 0)"
    }

    /// What a protocol documents counts: the compiler passes its words on.
    var isDocumented: Bool { lines.contains { !$0.allSatisfy(\.isWhitespace) } }
}

func check(_ module: String, _ folder: String, _ catalog: String) -> Int {
    var problems: [String] = []
    var count = 0
    var top: Set<String> = []
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for file in files.sorted() where file.hasSuffix(".symbols.json") {
        for json in object(at: folder + "/" + file)["symbols"] as? [Object] ?? [] {
            let symbol = Symbol(json)
            // An extension of another module's type is no symbol that could have words of its own.
            if symbol.kind == "extension" { continue }
            count += 1
            if file == "\(module).symbols.json", symbol.path.count == 1 { top.insert(symbol.path[0]) }
            if !symbol.isDocumented {
                let name = ([module] + symbol.path).joined(separator: ".")
                problems.append("\(symbol.place): \(name) (\(symbol.kind)) has no doc comment")
            }
        }
    }
    if count == 0 { problems.append("\(folder): no public symbol of \(module) was found") }

    // Where a reader comes in, nothing may be left to an automatic list.
    var listed: Set<String> = []
    let pages = (try? FileManager.default.contentsOfDirectory(atPath: catalog)) ?? []
    for page in pages where page.hasSuffix(".md") {
        guard let data = FileManager.default.contents(atPath: catalog + "/" + page) else { continue }
        for line in String(decoding: data, as: UTF8.self).split(separator: "\n") where line.hasPrefix("- ``")
        {
            listed.insert(String(line.dropFirst(4).prefix { $0 != "`" }))
        }
    }
    for name in top.subtracting(listed).sorted() {
        problems.append("\(catalog)/\(module).md: \(name) is under no topic")
    }
    problems.forEach { print($0) }
    if problems.isEmpty { print("\(module): \(count) public symbols, all documented") }
    return problems.count
}

let arguments = CommandLine.arguments
switch (arguments.dropFirst().first, arguments.count) {
case ("modules", 3): modules(of: object(at: arguments[2])).forEach { print($0) }
case ("check", 5): exit(check(arguments[2], arguments[3], arguments[4]) == 0 ? 0 : 1)
default: fail("usage: symbols modules FILE | symbols check MODULE FOLDER CATALOG")
}
