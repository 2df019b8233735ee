import LinuxSystem
import VFIOABI
import VFIOHost

/// F.6: GET_HW_INFO.
let hardwareInfoCases: [Case] = [
    Case("F.6", "GET_HW_INFO tells what the IOMMU is", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let data = try t.buffer(64)
        data.fill(0xff)
        var info = HWInfo(
            deviceID: bench.id, dataLength: 64, dataAddress: UInt64(data.address.rawValue))
        t.expect(bench.iommufd.request(.iommufdGetHWInfo, &info), .success, "GET_HW_INFO")
        guard info.outputType == .intelVTD else { throw t.skip("the IOMMU isn't VT-d") }
        t.expect(info.dataLength, equals: 24, "data_len")
        t.expect(info.maxPASIDLog2, equals: 0, "out_max_pasid_log2")
        t.expect(info.capabilities.rawValue, equals: 8, "out_capabilities: no ATS")
        t.expect((24..<64).allSatisfy { data.load(UInt8(1), at: $0) == 0 }, "the rest is cleared")
        let registers = data.load(HWInfoVTD())
        // Its faults are those of the processor.
        t.note(registers.flags.rawValue, "flags")
        t.expect(registers.capabilityRegister >> 16 & 0x3f > 29, "addresses of more than 30 bits")
        t.expect(registers.extendedCapabilityRegister >> 3 & 1 == 1, "interrupts are translated")
        t.expect(registers.extendedCapabilityRegister >> 45 & 1 == 0, "writes aren't noted")
    },
    Case("F.6", "GET_HW_INFO writes as much as there is room for", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let data = try t.buffer(atEndOfPage: 8)
        data.fill(0xff)
        for (room, label) in [(0, "none"), (4, "4 bytes"), (8, "8 bytes")] as [(UInt32, String)] {
            var info = HWInfo(
                deviceID: bench.id, dataLength: room, dataAddress: UInt64(data.address.rawValue))
            t.expect(bench.iommufd.request(.iommufdGetHWInfo, &info), .success, "room for \(label)")
            t.expect(info.dataLength, equals: 24, "data_len, room for \(label)")
            t.expect(data.load(UInt8(0), at: 4) == (room < 8 ? 0xff : 0), "the fifth byte, \(label)")
        }
        var info = HWInfo(deviceID: bench.id, dataLength: 9, dataAddress: UInt64(data.address.rawValue))
        t.expect(bench.iommufd.request(.iommufdGetHWInfo, &info), .errno(.badAddress), "9 bytes of 8")
        info = HWInfo(deviceID: bench.id, dataLength: 24)
        t.expect(bench.iommufd.request(.iommufdGetHWInfo, &info), .errno(.badAddress), "nowhere")
        info = HWInfo(deviceID: bench.id)
        t.expect(bench.iommufd.request(.iommufdGetHWInfo, &info), .success, "nowhere, no room")
    },
    Case("F.6", "GET_HW_INFO for one kind of IOMMU", on: .cdev) { t in
        let bench = try t.pageTableBench()
        for (flags, type, errno, label) in [
            ([], .amd, nil, "a kind that isn't asked for"),
            (.inputType, .default, nil, "whatever it is"),
            (.inputType, .amd, .notSupported, "another kind"),
            (.inputType, HWInfoType(rawValue: 99), .notSupported, "a kind that nobody knows"),
        ] as [(HWInfoFlags, HWInfoType, Errno?, String)] {
            var info = HWInfo(flags: flags, deviceID: bench.id, inputType: type)
            let wanted: Answer = errno.map { .errno($0) } ?? .success
            t.expect(bench.iommufd.request(.iommufdGetHWInfo, &info), wanted, label)
        }
        for index in 0..<3 {
            var info = HWInfo(deviceID: 99)
            info.reserved[index] = 1
            t.expect(
                bench.iommufd.request(.iommufdGetHWInfo, &info), .errno(.notSupported), "reserved \(index)")
        }
        let short = try t.buffer(atEndOfPage: 32)
        short.store(HWInfo(size: 32, deviceID: bench.id).size)
        short.store(bench.id, at: 8)
        t.expect(bench.iommufd.request(.iommufdGetHWInfo, short), .success, "a structure of 32 bytes")
    },
]
