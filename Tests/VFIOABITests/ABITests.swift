import Foundation
import Testing
import VFIOABI
import VFIOTrace

/// The facts that a C compiler gave about the real headers.
private struct Facts: Decodable {
    struct Header: Decodable {
        var constants: [String: Constant]
        var structs: [String: Structure]
    }

    struct Structure: Decodable {
        var size: Int
        var alignment: Int
        var fields: [Field]
    }

    struct Field: Decodable {
        var name: String
        var offset: Int
        var size: Int?
    }

    struct Constant: Decodable {
        var value: ABIConstant

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int64.self) {
                value = .number(number)
            } else {
                value = .text(try container.decode(String.self))
            }
        }
    }

    var architecture: String
    var headers: [String: Header]

    static func load() throws -> Facts {
        let file = try #require(
            Bundle.module.url(forResource: "vfio-abi", withExtension: "json", subdirectory: "Resources"))
        return try JSONDecoder().decode(Facts.self, from: Data(contentsOf: file))
    }
}

/// What VFIOABI deliberately does differently from one header, each with its reason.
private enum Exceptions {
    static let seed = "vfio.h (seed revision)"
    static let latest = "vfio.h (Linux 7.2)"

    private static let records =
        "8 in C only because of the records that follow; they are not part of the Swift structure"

    /// "header: name" of constants, with the value that the header has.
    static let constants: [String: (value: Int64, reason: String)] = [
        "\(seed): VFIO_AP_NUM_IRQS": (1, "Linux 7.2 has a second index, VFIO_AP_CFG_CHG_IRQ_INDEX")
    ]

    /// "header: name" of structures that grew since: the older size must be `minimumSize`.
    static let grown: [String: String] = [
        "\(seed): vfio_device_bind_iommufd": "Linux 7.2 adds token_uuid_ptr",
        "\(seed): vfio_device_attach_iommufd_pt": "Linux 7.2 adds pasid",
        "\(seed): vfio_device_detach_iommufd_pt": "Linux 7.2 adds pasid",
    ]

    /// "header: name" of structures whose alignment differs.
    static let alignment: [String: String] = [
        "\(seed): vfio_region_info_cap_sparse_mmap": records,
        "\(latest): vfio_region_info_cap_sparse_mmap": records,
        "\(seed): vfio_iommu_type1_info_cap_iova_range": records,
        "\(latest): vfio_iommu_type1_info_cap_iova_range": records,
        "\(latest): vfio_device_feature_dma_buf": records,
        "vfio_ccw.h (Linux 7.2): ccw_io_region": "packed in C; sizes and offsets are the same",
        "vfio_ccw.h (Linux 7.2): ccw_cmd_region": "packed in C; sizes and offsets are the same",
        "vfio_ccw.h (Linux 7.2): ccw_crw_region": "packed in C; sizes and offsets are the same",
    ]
}

@Suite("The words of the uAPI are the compiler's")
struct ABITests {
    @Test("every header that is meant to be covered is in the facts")
    func headers() throws {
        let facts = try Facts.load()
        #expect(
            Set(facts.headers.keys) == [
                "vfio.h (seed revision)", "vfio.h (Linux 7.2)", "iommufd.h (Linux 7.2)",
                "vfio_ccw.h (Linux 7.2)", "vfio_zdev.h (Linux 7.2)",
            ])
    }

    @Test("every constant of every header is there with its value")
    func constants() throws {
        var used: Set<String> = []
        var checked = 0
        for (header, facts) in try Facts.load().headers {
            for (name, constant) in facts.constants {
                checked += 1
                let place = "\(header): \(name)"
                guard let ours = ABITable.whole.constants[name] else {
                    Issue.record("\(place) is missing")
                    continue
                }
                var theirs = constant.value
                if let exception = Exceptions.constants[place] {
                    used.insert(place)
                    #expect(theirs == .number(exception.value), "\(place): \(exception.reason)")
                    #expect(ours != theirs, "\(place) needs no exception")
                    continue
                }
                // A number from 2^31 on comes out of a C `int` negative: the same 32 bits.
                if case .number(let number) = theirs, case .number(let mine) = ours, number < 0, mine > 0 {
                    theirs = .number(Int64(UInt32(truncatingIfNeeded: number)))
                }
                #expect(ours == theirs, "\(place)")
            }
        }
        #expect(used == Set(Exceptions.constants.keys), "an exception that nothing needs")
        #expect(checked == 210 + 216 + 99 + 6 + 1)
    }

    @Test("every structure of every header has its size, its alignment and its fields")
    func structures() throws {
        var grown: Set<String> = []
        var aligned: Set<String> = []
        var checked = 0
        for (header, facts) in try Facts.load().headers {
            for (name, theirs) in facts.structs {
                checked += 1
                let place = "\(header): \(name)"
                guard let ours = ABITable.whole.structures[name] else {
                    Issue.record("\(place) is missing")
                    continue
                }
                if Exceptions.grown[place] != nil {
                    grown.insert(place)
                    #expect(ours.minimumSize == theirs.size, "\(place)")
                } else {
                    #expect(ours.size == theirs.size, "\(place): size")
                    // Unlike size, the stride has no exception to hide behind: an array of it must fit C's.
                    #expect(ours.stride == theirs.size, "\(place): stride")
                    if Exceptions.alignment[place] != nil {
                        aligned.insert(place)
                        #expect(ours.alignment != theirs.alignment, "\(place) needs no exception")
                    } else {
                        #expect(ours.alignment == theirs.alignment, "\(place): alignment")
                    }
                    #expect(
                        Set(ours.fields.keys) == Set(theirs.fields.map(\.name)), "\(place): names of fields")
                }
                for field in theirs.fields {
                    #expect(
                        ours.fields[field.name] == ABIField(offset: field.offset, size: field.size),
                        "\(place).\(field.name)")
                }
            }
        }
        #expect(grown == Set(Exceptions.grown.keys), "an exception that nothing needs")
        #expect(aligned == Set(Exceptions.alignment.keys), "an exception that nothing needs")
        #expect(checked == 49 + 51 + 37 + 4 + 4)
    }

    @Test("every request has its number under the name that traces and faults give it")
    func requestNames() throws {
        let headers = try Facts.load().headers.values
        for name in RequestName.all {
            // iommufd.h knows this one by its older name too.
            let word = "\(name.word)"
            let numbers = headers.compactMap { $0.constants[word]?.value }
            #expect(numbers.allSatisfy { $0 == .number(Int64(name.request.rawValue)) }, "\(word)")
            #expect(!numbers.isEmpty, "\(word) isn't in the headers")
        }
        #expect(Set(RequestName.all.map { "\($0.shortName)" }).count == RequestName.all.count)
    }

    @Test("the structures that traces are taken apart by have the compiler's fields, at their places")
    func traceLayouts() throws {
        var structures: [String: Facts.Structure] = [:]
        for (header, facts) in try Facts.load().headers where header != Exceptions.seed {
            structures.merge(facts.structs) { $1 }
        }
        for (name, layout) in StructureLayout.all {
            let theirs = try #require(structures[name], "\(name)")
            var seen: Set<String> = []
            for field in layout.fields where field.kind != .reserved {
                let outer = String(field.name.prefix { $0 != "." })
                let fact = try #require(theirs.fields.first { $0.name == outer }, "\(name).\(field.name)")
                if outer == field.name {
                    #expect(fact.offset == field.offset && fact.size == field.width, "\(name).\(field.name)")
                } else {
                    #expect(field.offset >= fact.offset && field.offset < fact.offset + (fact.size ?? 0))
                }
                seen.insert(outer)
            }
            // What has no name here is padding, a second name for the same bytes, or records that follow.
            for fact in theirs.fields where !seen.contains(fact.name) && fact.size != nil {
                let isKnown = layout.fields.contains { $0.offset == fact.offset }
                #expect(isKnown, "\(name).\(fact.name)")
            }
        }
    }

    @Test("the table holds no name twice and none that the headers lack")
    func table() throws {
        let headers = try Facts.load().headers.values
        let constants = Set(headers.flatMap(\.constants.keys))
        let structures = Set(headers.flatMap(\.structs.keys))
        #expect(ABITable.whole.duplicates == [])
        #expect(ABITable.whole.constants.keys.filter { !constants.contains($0) } == [])
        #expect(ABITable.whole.structures.keys.filter { !structures.contains($0) } == [])
    }

    @Test("a structure that tells its size starts with it, and accepts no more than it has")
    func ownSize() {
        for (name, layout) in ABITable.whole.structures {
            guard let minimum = layout.minimumSize else { continue }
            let first = layout.fields["argsz"] ?? layout.fields["size"]
            #expect(first == ABIField(offset: 0, size: 4), "\(name)")
            #expect((4...layout.size).contains(minimum), "\(name)")
        }
    }
}
