import LinuxSystem
import VFIOABI
import VFIOHost

/// D.6: error reporting, Advanced Features and Vital Product Data.
let reportingCases: [Case] = [
    Case("D.6", "severities and the correctable errors' mask of AER are the user's to write", on: .all) { t in
        let (device, at) = try t.openErrorReporting()
        // Completion timeouts, which all devices know of; and replay timeouts. The mask of uncorrectable
        // errors is left out: QEMU's devices had none before its release 8.
        for (register, bit, name) in [
            (0x0c, 0x4000, "severity"), (0x14, 0x1000, "correctable errors' mask"),
        ] as [(UInt64, UInt32, String)] {
            let old = try device.configuration(UInt32.self, at + register)
            device.configure(at + register, old | bit)
            t.expect(
                try device.configuration(UInt32.self, at + register) == old | bit, "\(name): setting a bit")
            device.configure(at + register, old & ~bit)
            t.expect(
                try device.configuration(UInt32.self, at + register) == old & ~bit, "\(name): clearing it")
            device.configure(at + register + 1, UInt8(truncatingIfNeeded: (old | bit) >> 8))
            t.expect(
                try device.configuration(UInt32.self, at + register) == old | bit,
                "\(name): setting it by its byte")
            device.configure(at + register, old)
        }
    },
    Case("D.6", "of AER's control only the two ECRC bits that enable are the user's", on: .all) { t in
        let (device, at) = try t.openErrorReporting()
        let old = try device.configuration(UInt32.self, at + 0x18)
        device.configure(at + 0x18, UInt32.max)
        // A bit that enables exists where the bit before it says that the device is capable.
        t.expect(
            try device.configuration(UInt32.self, at + 0x18) == old | (old & 0xa0) << 1, "after writing ones")
        device.configure(at + 0x18, 0 as UInt32)
        t.expect(try device.configuration(UInt32.self, at + 0x18) == old & ~0x140, "after writing zeros")
        device.configure(at + 0x18, old)
    },
    Case("D.6", "AER's log of headers can't be written, and no status by zeros", on: .all) { t in
        let (device, at) = try t.openErrorReporting()
        for register in stride(from: 0x1c, through: 0x28, by: 4) as StrideThrough<UInt64> {
            let old = try device.configuration(UInt32.self, at + register)
            t.expect(device.configure(at + register, ~old), .value(4), "writing \(register)")
            t.expect(try device.configuration(UInt32.self, at + register) == old, "\(register) stays")
        }
        for register: UInt64 in [0x04, 0x10] {
            let old = try device.configuration(UInt32.self, at + register)
            device.configure(at + register, 0 as UInt32)
            t.expect(
                try device.configuration(UInt32.self, at + register) == old, "\(register), writing zeros")
        }
    },
    Case("D.6", "statuses of AER are cleared by writing ones", on: .all) { t in
        let (device, at) = try t.openErrorReporting()
        for register: UInt64 in [0x04, 0x10] {
            t.expect(device.configure(at + register, UInt32.max), .value(4), "writing \(register)")
            t.expect(try device.configuration(UInt32.self, at + register), equals: 0, "reading it")
        }
    },
    Case("D.6", "a reset by Advanced Features' bit resets the device, and the bit reads as 0", on: .all) {
        t in
        let setup = try t.openDevice("a device with Advanced Features") { try $0.capability(0x13) != nil }
        let (device, at) = (setup.device, try t.capability(0x13, of: setup.device))
        let old = try device.configuration(UInt32.self, at)
        t.expect(device.configure(at + 2, UInt16.max), .value(2), "writing length and capabilities")
        t.expect(try device.configuration(UInt32.self, at) == old, "they stay")
        guard old >> 24 & 3 == 3 else {
            throw t.skip("it needs a device that can be reset by Advanced Features")
        }
        device.configure(0x0c, 0x08 as UInt8)
        t.expect(device.configure(at + 4, 1 as UInt8), .value(1), "writing the bit")
        t.expect(try device.configuration(UInt8.self, at + 4) & 1, equals: 0, "the bit")
        t.expect(device.configure(at + 5, 0xff as UInt8), .value(1), "writing the status")
        t.expect(try device.configuration(UInt8.self, at + 5) & 0xfe, equals: 0, "the status")
        t.expect(try device.configuration(UInt32.self, at) == old, "the capability")
    },
    Case("D.6", "Vital Product Data is read word by word, with a flag for its arrival", on: .all) { t in
        let (device, at) = try t.openProductData()
        var first: [UInt8] = []
        for place: UInt16 in [0, 4, 0] {
            t.expect(device.configure(at + 2, place), .value(2), "asking for the word at \(place)")
            t.expect(try device.configuration(UInt16.self, at + 2), equals: place | 0x8000, "the flag")
            let (answer, word) = device.read(at: Place.configuration(at + 4), count: 4)
            t.expect(answer, .value(4), "reading it")
            if place == 0 && first.isEmpty { first = word }
            if place == 0 {
                t.expect(word == first, "the word at 0")
            } else {
                t.expect(word != first, "another word")
            }
        }
    },
    Case("D.6", "Vital Product Data answers the address's upper byte, and aligned addresses only", on: .all) {
        t in
        let (device, at) = try t.openProductData()
        device.configure(at + 2, 4 as UInt16)
        t.expect(try device.configuration(UInt16.self, at + 2), equals: 0x8004, "the word at 4")
        device.configure(at + 4, 0x1234_5678 as UInt32)
        t.expect(
            try device.configuration(UInt32.self, at + 4), equals: 0x1234_5678,
            "the data keep what is written")
        device.configure(at + 2, 0 as UInt8)
        t.expect(try device.configuration(UInt16.self, at + 2), equals: 0x8000, "after the lower byte alone")
        t.expect(
            try device.configuration(UInt32.self, at + 4), equals: 0x1234_5678, "the data: nothing was read")
        device.configure(at + 3, 0 as UInt8)
        t.expect(try device.configuration(UInt16.self, at + 2), equals: 0x8000, "after the upper byte alone")
        t.expect(try device.configuration(UInt32.self, at + 4) != 0x1234_5678, "the data: the word at 0")
        for place: UInt16 in [1, 2, 7] {
            device.configure(at + 4, 0x1234_5678 as UInt32)
            device.configure(at + 2, place)
            t.expect(
                try device.configuration(UInt16.self, at + 2), equals: place, "\(place), which isn't aligned")
            t.expect(try device.configuration(UInt32.self, at + 4), equals: 0x1234_5678, "the data")
        }
    },
]

extension Trial {
    /// Opens a device with Advanced Error Reporting.
    /// - Returns: the device, and where the capability begins.
    func openErrorReporting() throws -> (device: File, at: UInt64) {
        let device = try openDevice("a device with Advanced Error Reporting") {
            try $0.extendedCapability(0x01) != nil
        }.device
        guard let at = try device.extendedCapability(0x01) else { throw Halt.broken("AER went") }
        return (device, at)
    }

    /// Opens a device with Vital Product Data, which isn't changed.
    /// - Returns: the device, and where the capability begins.
    func openProductData() throws -> (device: File, at: UInt64) {
        let device = try openDevice("a device with Vital Product Data") { try $0.capability(3) != nil }.device
        return (device, try capability(3, of: device))
    }
}
