import Foundation

/// The repository that the tests are in.
enum Repository {
    static let root: URL = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { url.deleteLastPathComponent() }
        return url
    }()

    /// All Swift files below a folder, in the order of their paths.
    static func sources(below folder: String, of target: String) throws -> [SourceTokens] {
        let base = root.appendingPathComponent(folder)
        let paths = try FileManager.default.subpathsOfDirectory(atPath: base.path)
        return try paths.filter { $0.hasSuffix(".swift") }.sorted().map { path in
            let file = base.appendingPathComponent(path)
            return SourceTokens(
                target: target, file: file.deletingPathExtension().lastPathComponent,
                text: try String(contentsOf: file, encoding: .utf8))
        }
    }
}
