import JSONText
import PCIDecoder
import VFIOHost

extension DeviceReport {
    /// The report as a document: what `vfio inspect --json` prints, and what a dump is.
    ///
    /// What ``init(json:)`` reads back are the facts and the bytes; what is decoded from the bytes is there for
    /// programs that don't want to do it themselves.
    public var json: JSON {
        let decoded = configuration?.decoded
        return .of(
            [("version", .count(Self.version)), ("address", .string(name)), ("bus", .string(bus))]
                + [("host", .string(host))] + factsJSON + openedJSON
                + [
                    ("capabilities", .array(decoded?.capabilities.map(\.json) ?? [])),
                    ("extendedCapabilities", .array(decoded?.extendedCapabilities.map(\.json) ?? [])),
                    ("configuration", configurationJSON(decoded)),
                    (
                        "missing",
                        .array(
                            missing.map { .of([("part", .string($0.part)), ("reason", .string($0.reason))]) })
                    ),
                ])
    }

    private func configurationJSON(_ decoded: DecodedConfiguration?) -> JSON? {
        guard let configuration, let decoded else { return nil }
        let problems = decoded.problems.map { problem in
            JSON.of([("offset", .count(problem.offset)), ("problem", .string(problem.text))])
        }
        let lines = stride(from: 0, to: configuration.bytes.count, by: 32).map { start in
            let line = configuration.bytes[start..<min(start + 32, configuration.bytes.count)]
            return line.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        return .of([
            ("source", .string(configuration.source)), ("byteCount", .count(configuration.bytes.count)),
            ("bytes", .texts(lines)), ("header", .array(decoded.header.map(\.json))),
            ("problems", problems.isEmpty ? nil : .array(problems)),
        ])
    }

    private var factsJSON: [(String, JSON?)] {
        [
            ("vendor", facts.vendor.map { .hexadecimal($0, digits: 4) }),
            ("device", facts.device.map { .hexadecimal($0, digits: 4) }),
            ("subsystemVendor", facts.subsystemVendor.map { .hexadecimal($0, digits: 4) }),
            ("subsystem", facts.subsystem.map { .hexadecimal($0, digits: 4) }),
            ("classCode", facts.classCode.map { .hexadecimal($0, digits: 6) }),
            ("className", facts.classCode.map { .string(PCIClass.name($0)) }),
            ("revision", facts.revision.map { .hexadecimal($0, digits: 2) }),
            ("vendorName", facts.vendorName.map { .string($0) }),
            ("deviceName", facts.deviceName.map { .string($0) }),
            ("subsystemName", facts.subsystemName.map { .string($0) }),
            ("driver", facts.driver.map { .string($0) }),
            ("driverOverride", facts.driverOverride.map { .string($0) }),
            ("group", facts.group.map { .count($0) }),
            ("groupMembers", .array(facts.groupMembers.map(\.json))),
            ("domainType", facts.domainType.map { .string($0) }),
            ("reservedRegions", .array(facts.reservedRegions.map(\.json))),
            ("deviceNode", facts.deviceNode.map { .count($0) }),
            ("numaNode", facts.numaNode.map { .count($0) }),
            ("holders", .texts(facts.holders)), ("resetMethods", .texts(facts.resetMethods)),
            ("physicalFunction", facts.physicalFunction.map { .string($0) }),
        ]
    }

    private var openedJSON: [(String, JSON?)] {
        guard let opened else { return [("opened", .bool(false))] }
        let addresses = opened.addresses
        return [
            ("opened", .bool(true)), ("route", .string(opened.route)),
            ("routeReason", .string(opened.routeReason)), ("canReset", .bool(opened.canReset)),
            ("atomics", .array(opened.atomics.map { .count($0) })),
            ("regions", .array(opened.regions.map(\.json))),
            ("interrupts", .array(opened.interrupts.map(\.json))),
            ("features", .array(opened.features.map(\.json))),
            (
                "migration",
                opened.migration.map {
                    .of([("flags", .texts($0.flags)), ("state", $0.state.map { .string($0) })])
                }
            ),
            ("usableAddresses", addresses.map { .array($0.ranges.map { DeviceReport.json($0) }) }),
            ("pageSizes", addresses.map { Self.sizes($0.pageSizes) }),
            ("mappingsLeft", addresses?.mappingsLeft.map { .unsigned(UInt64($0)) }),
            ("dirtyPageSizes", addresses.map { Self.sizes($0.dirtyPageSizes) }),
            ("hotResetRefusal", opened.hotResetRefusal.map { .string($0) }),
            ("hotReset", opened.hotReset.map { .array($0.map(\.json)) }),
        ]
    }

    /// A list of the sizes whose bits are set.
    private static func sizes(_ bits: UInt64) -> JSON {
        .array((0..<64).map { UInt64(1) << $0 }.filter { bits & $0 != 0 }.map { .unsigned($0) })
    }

    private static func json(_ range: ClosedRange<UInt64>) -> JSON {
        .of([
            ("first", .hexadecimal(range.lowerBound, digits: 1, prefix: "0x")),
            ("last", .hexadecimal(range.upperBound, digits: 1, prefix: "0x")),
        ])
    }
}

extension ReservedRegion {
    fileprivate var json: JSON {
        .of([
            ("first", .hexadecimal(first, digits: 1, prefix: "0x")),
            ("last", .hexadecimal(last, digits: 1, prefix: "0x")), ("kind", .string(kind)),
        ])
    }
}

extension DeviceReport.Member {
    fileprivate var json: JSON {
        .of([("name", .string(name)), ("driver", driver.map { .string($0) }), ("blocks", .bool(blocks))])
    }
}

extension DeviceReport.Area {
    fileprivate var json: JSON {
        .of([("offset", .unsigned(offset)), ("byteCount", .unsigned(byteCount))])
    }
}

extension DeviceReport.Region {
    fileprivate var json: JSON {
        .of([
            ("index", .count(index)), ("name", .string(name)), ("byteCount", .unsigned(byteCount)),
            ("access", .string(access)), ("mapped", .array(mapped.map(\.json))),
            ("sparse", sparseAreas.map { .array($0.map(\.json)) }),
            ("mappingProblem", mappingProblem.map { .string($0) }),
            ("msixMappable", isMSIXMappable ? .bool(true) : nil), ("msixTable", msixTable.map(\.json)),
            (
                "type",
                type.map {
                    .of([
                        ("type", .unsigned(UInt64($0.type))), ("subtype", .unsigned(UInt64($0.subtype))),
                        ("name", $0.words.map { .string($0) }),
                    ])
                }
            ),
        ])
    }
}

extension DeviceReport.Interrupt {
    fileprivate var json: JSON {
        .of([
            ("index", .count(index)), ("name", .string(name)), ("count", .count(count)),
            ("flags", .texts(flags)),
        ])
    }
}

extension DeviceReport.Feature {
    fileprivate var json: JSON {
        .of([
            ("number", .count(number)), ("name", .string(word)), ("get", .bool(canGet)),
            ("set", .bool(canSet)),
        ])
    }
}

extension DeviceReport.ResetFunction {
    fileprivate var json: JSON {
        .of([
            ("address", .string(address)), ("owner", .string(owner)), ("driver", driver.map { .string($0) }),
            ("holders", holders.isEmpty ? nil : .texts(holders)),
        ])
    }
}
