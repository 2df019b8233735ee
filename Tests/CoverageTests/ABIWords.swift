import Foundation

/// A constant or a structure of the headers.
struct ABIWord {
    enum Kind {
        case constant(String)
        case structure(byteCount: Int)
    }

    let name: String
    let kind: Kind
    /// The headers that have it.
    let headers: Set<String>
    /// The type of `VFIOABI` that is it or has it.
    let type: String
    /// The constant in that type; nil for structures.
    let member: String?

    /// As it is written in Swift.
    var swift: String { member.map { "\(type).\($0)" } ?? type }
}

/// The words of the headers, from the compiler's facts, with what `VFIOABI` calls them: the tables that
/// `VFIOABITests` compares with the same facts tell it.
enum ABIWords {
    private struct Facts: Decodable {
        struct Header: Decodable {
            var constants: [String: Constant]
            var structs: [String: Structure]
        }

        struct Structure: Decodable {
            var size: Int
        }

        struct Constant: Decodable {
            var text: String

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let number = try? container.decode(Int64.self) {
                    text = "\(number)"
                } else {
                    text = try container.decode(String.self)
                }
            }
        }

        var headers: [String: Header]
    }

    /// All of them, by name; what the tables of `VFIOABITests` don't know is named in `unknown`.
    static func load() throws -> (words: [ABIWord], unknown: [String]) {
        let file = Repository.root.appendingPathComponent("Tests/VFIOABITests/Resources/vfio-abi.json")
        let facts = try JSONDecoder().decode(Facts.self, from: Data(contentsOf: file))
        let names = try swiftNames()
        var headers: [String: Set<String>] = [:]
        var kinds: [String: ABIWord.Kind] = [:]
        // The newest value stands: the seed's header is read first.
        for (header, content) in facts.headers.sorted(by: { $0.key > $1.key }) {
            for (name, constant) in content.constants {
                headers[name, default: []].insert(header)
                kinds[name] = .constant(constant.text)
            }
            for (name, structure) in content.structs {
                headers[name, default: []].insert(header)
                kinds[name] = .structure(byteCount: structure.size)
            }
        }
        var unknown: [String] = []
        let words = kinds.keys.sorted().compactMap { name -> ABIWord? in
            guard let kind = kinds[name], let swift = names[name] else {
                unknown.append(name)
                return nil
            }
            return ABIWord(
                name: name, kind: kind, headers: headers[name] ?? [], type: swift.type, member: swift.member)
        }
        return (words, unknown)
    }

    /// `table.constant("NAME", Type.member…)` and `table.structure("NAME", Type.self)`.
    private static func swiftNames() throws -> [String: (type: String, member: String?)] {
        var names: [String: (type: String, member: String?)] = [:]
        for source in try Repository.sources(below: "Tests/VFIOABITests", of: "VFIOABITests") {
            for place in (source.places["constant"] ?? []) + (source.places["structure"] ?? [])
            where source.at(place - 1) == "." && source.at(place + 1) == "("
                && source.kinds[place + 2] == .string
            {
                let end = source.end(ofBracketAt: place + 1)
                var at = place + 4
                while at < end, source.at(at).first?.isUppercase != true || source.at(at + 1) != "." {
                    at += 1
                }
                guard at < end else { continue }
                let member = source.at(at + 2)
                names[source.at(place + 2)] = (source.at(at), member == "self" ? nil : member)
            }
        }
        return names
    }
}
