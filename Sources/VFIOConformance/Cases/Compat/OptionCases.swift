import LinuxSystem
import VFIOABI
import VFIOHost

/// F.3: OPTION and CHANGE_PROCESS.
let optionCases: [Case] = [
    Case("F.3", "OPTION: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        for (option, errno, label) in [
            (IOMMUFDOption(optionID: .hugePages, reserved: 1, objectID: 99), .notSupported, "reserved first"),
            (
                IOMMUFDOption(optionID: .init(rawValue: 2), operation: .get), .notSupported,
                "an unknown option"
            ),
            (
                IOMMUFDOption(optionID: .rlimitMode, operation: .get, objectID: 1), .notSupported,
                "an object for none"
            ),
            (
                IOMMUFDOption(optionID: .rlimitMode, operation: .init(rawValue: 2)), .notSupported,
                "an unknown operation"
            ),
            (
                IOMMUFDOption(optionID: .hugePages, operation: .init(rawValue: 2), objectID: 99),
                .noSuchEntry, "the object before the operation"
            ),
            (
                IOMMUFDOption(optionID: .hugePages, operation: .init(rawValue: 2), objectID: bench.ioas),
                .notSupported, "an unknown operation on one"
            ),
            (
                IOMMUFDOption(optionID: .hugePages, operation: .set, objectID: bench.ioas, value: 2),
                .invalid, "neither 0 nor 1"
            ),
        ] as [(IOMMUFDOption, Errno, String)] {
            t.expect(bench.iommufd.request(.iommufdOption, option), .errno(errno), label)
        }
    },
    Case("F.3", "OPTION: how locked memory is counted is settled before there is an object", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        var option = IOMMUFDOption(optionID: .rlimitMode, operation: .get, value: 77)
        t.expect(iommufd.request(.iommufdOption, &option), .success, "GET")
        t.expect(option.value, equals: 0, "by user")
        option.operation = .set
        option.value = 2
        t.expect(iommufd.request(.iommufdOption, &option), .errno(.invalid), "SET 2")
        option.value = 1
        t.expect(iommufd.request(.iommufdOption, &option), .success, "SET 1")
        _ = try t.allocate(in: iommufd)
        for value in [0, 1, 2] as [UInt64] {
            option.value = value
            t.expect(iommufd.request(.iommufdOption, &option), .errno(.busy), "SET \(value) with an object")
        }
        option.operation = .get
        t.expect(iommufd.request(.iommufdOption, &option), .success, "GET")
        t.expect(option.value, equals: 1, "by process")
    },
    Case("F.3", "OPTION: large pages", on: .cdev) { t in
        let bench = try t.space()
        var option = IOMMUFDOption(optionID: .hugePages, operation: .get, objectID: bench.ioas)
        t.expect(bench.iommufd.request(.iommufdOption, &option), .success, "GET")
        t.expect(option.value, equals: 1, "they are used")
        option = IOMMUFDOption(optionID: .hugePages, operation: .set, objectID: bench.ioas, value: 0)
        t.expect(bench.iommufd.request(.iommufdOption, option), .success, "SET 0")
        t.expect(bench.ranges(room: 1).request.alignment, equals: bench.page, "pages are the unit")
        t.expect(bench.map(0x10001, bytes: 1), .errno(.invalid), "MAP of a byte")
        option.value = 1
        t.expect(bench.iommufd.request(.iommufdOption, option), .success, "SET 1")
        t.expect(bench.ranges(room: 1).request.alignment, equals: 1, "bytes are the unit")
    },
    Case("F.3", "OPTION: large pages stay while they may be in use", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        let option = IOMMUFDOption(optionID: .hugePages, operation: .set, objectID: bench.ioas, value: 0)
        t.expect(bench.map(0x10000), .success, "MAP")
        t.expect(bench.iommufd.request(.iommufdOption, option), .errno(.invalid), "SET 0")
        t.expect(setup.device.detach(), .success, "DETACH")
        t.expect(bench.iommufd.request(.iommufdOption, option), .success, "SET 0 without a device")
        t.expect(setup.device.attach(to: bench.ioas).answer, .success, "ATTACH")
        t.expect(bench.iommufd.request(.iommufdOption, option), .success, "SET 0 again changes nothing")
    },
    Case("F.3", "OPTION: large pages stay while mappings aren't whole pages", on: .cdev) { t in
        let bench = try t.space()
        let option = IOMMUFDOption(optionID: .hugePages, operation: .set, objectID: bench.ioas, value: 0)
        t.expect(bench.map(0x10000, bytes: 1), .success, "MAP of a byte")
        t.expect(bench.iommufd.request(.iommufdOption, option), .errno(.addressInUse), "SET 0")
        t.expect(bench.unmapped(0x10000, bytes: 1), equals: "1 bytes", "UNMAP")
        t.expect(bench.iommufd.request(.iommufdOption, option), .success, "SET 0")
    },
    Case("F.3", "CHANGE_PROCESS is for memory files only", on: .cdev) { t in
        let bench = try t.space()
        t.expect(
            bench.iommufd.request(.ioasChangeProcess, IOASChangeProcess(reserved: 1)), .errno(.notSupported),
            "reserved")
        t.expect(
            bench.iommufd.request(.ioasChangeProcess, IOASChangeProcess()), .success, "nothing is mapped")
        t.expect(bench.map(0x10000), .success, "MAP by address")
        t.expect(bench.iommufd.request(.ioasChangeProcess, IOASChangeProcess()), .errno(.invalid), "now")
    },
]
