import LinuxSystem
import VFIOABI

/// A.7 and D.11: FEATURE, what is the same for all features, and which there are.
let featureCases: [Case] = [
    Case("A.7", "FEATURE needs 8 bytes, which are read before their size is looked at", on: .all) { t in
        let device = try t.openEdu().device
        for size: UInt32 in [0, 7] {
            t.expect(device.feature(.lowPowerExit, .set, argsz: size), .errno(.invalid), "argsz \(size)")
        }
        let short = try t.buffer(atEndOfPage: 7)
        short.store(UInt32(7))
        t.expect(device.request(.deviceFeature, short), .errno(.badAddress), "7 bytes, argsz 7")
        let exact = try t.buffer(atEndOfPage: 8)
        exact.store(DeviceFeature(argsz: 8, flags: FeatureFlags(.lowPowerExit, .set)))
        t.expect(device.request(.deviceFeature, exact), .success, "8 bytes at the end of a page")
        t.expect(device.feature(.lowPowerExit, .set, argsz: .max), .success, "argsz 4294967295")
    },
    Case("A.7", "FEATURE refuses flags that it doesn't know, also with PROBE and for unknown features") { t in
        let device = try t.openEdu().device
        for bit: UInt32 in [19, 24, 31] {
            let flag = FeatureFlags(rawValue: 1 << bit)
            t.expect(device.feature(.lowPowerExit, [.set, flag]), .errno(.invalid), "bit \(bit)")
            t.expect(
                device.feature(.lowPowerExit, [.set, .probe, flag]), .errno(.invalid), "PROBE, bit \(bit)")
            t.expect(
                device.feature(Feature(rawValue: 999), [.set, flag]), .errno(.invalid),
                "feature 999, bit \(bit)")
        }
    },
    Case("A.7", "GET and SET at once is for PROBE only, whatever the feature") { t in
        let device = try t.openEdu().device
        t.expect(device.feature(.lowPowerExit, [.get, .set]), .errno(.invalid), "LOW_POWER_EXIT")
        t.expect(device.feature(Feature(rawValue: 999), [.get, .set]), .errno(.invalid), "feature 999")
        t.expect(
            device.feature(Feature(rawValue: 999), [.get, .set, .probe]), .errno(.noSuchRequest),
            "feature 999 with PROBE")
    },
    Case("A.7", "an unknown feature is ENOTTY, whatever is asked of it", on: .all) { t in
        let device = try t.openEdu().device
        for number: UInt16 in [13, 999, 0xffff] {
            for (name, operation) in operations {
                t.expect(
                    device.feature(Feature(rawValue: number), operation), .errno(.noSuchRequest),
                    "\(number), \(name)")
            }
        }
    },
    Case("A.7", "asking whether a feature can be got, set or both", on: .all) { t in
        let device = try t.openEdu().device
        for (name, feature) in lowPowerFeatures {
            t.expect(device.feature(feature, [.probe, .set]), .success, "\(name), SET")
            t.expect(device.feature(feature, [.probe, .get]), .errno(.invalid), "\(name), GET")
            t.expect(device.feature(feature, [.probe, .get, .set]), .errno(.invalid), "\(name), both")
            t.expect(device.feature(feature, .probe), .success, "\(name), neither")
        }
    },
    Case("A.7", "a feature that isn't asked to do anything is EINVAL", on: .all) { t in
        let device = try t.openEdu().device
        for (name, feature) in lowPowerFeatures {
            t.expect(device.feature(feature, [], payload: [0, 0, 0, 0, 0, 0, 0, 0]), .errno(.invalid), name)
        }
    },
    Case("A.7", "features that can only be set can't be got", on: .all) { t in
        let device = try t.openEdu().device
        for (name, feature) in lowPowerFeatures {
            t.expect(
                device.feature(feature, .get, payload: [0, 0, 0, 0, 0, 0, 0, 0]), .errno(.invalid), name)
        }
    },
    Case("A.7", "PROBE looks at no data and does nothing", on: .all) { t in
        let device = try t.openEdu().device
        let buffer = try t.buffer(atEndOfPage: 8)
        buffer.store(DeviceFeature(argsz: 8, flags: FeatureFlags(.lowPowerEntryWithWakeup, [.probe, .set])))
        t.expect(device.request(.deviceFeature, buffer), .success, "without data")
        buffer.store(DeviceFeature(argsz: 64, flags: FeatureFlags(.lowPowerEntryWithWakeup, [.probe, .set])))
        t.expect(device.request(.deviceFeature, buffer), .success, "with data that can't be read")
        t.expect(device.feature(.lowPowerEntry, [.probe, .set]), .success, "LOW_POWER_ENTRY, PROBE")
        t.expect(device.feature(.lowPowerEntry, .set), .success, "LOW_POWER_ENTRY for the first time")
        device.wakeUp()
    },
    Case("A.7", "a feature's data must be covered by argsz, and be readable", on: .all) { t in
        let device = try t.openEdu().device
        let number = bytes(of: [closedDescriptor, 0])
        for size: UInt32 in [8, 12, 15] {
            t.expect(
                device.feature(.lowPowerEntryWithWakeup, .set, payload: number, argsz: size),
                .errno(.invalid),
                "argsz \(size)")
        }
        t.expect(
            device.feature(.lowPowerEntryWithWakeup, .set, payload: number), .errno(.badDescriptor),
            "argsz 16")
        let buffer = try t.buffer(atEndOfPage: 14)
        buffer.store(DeviceFeature(argsz: 16, flags: FeatureFlags(.lowPowerEntryWithWakeup, .set)))
        buffer.store(Int32(-1), at: 8)
        t.expect(device.request(.deviceFeature, buffer), .errno(.badAddress), "six of eight bytes")
    },
    Case("D.11", "a device that can't be migrated has no feature of migration", on: .all) { t in
        let device = try t.openEdu().device
        try t.requireUnmovable(device)
        for (name, feature) in migrationFeatures {
            for (asked, operation) in operations {
                t.expect(
                    device.feature(feature, operation, payload: [UInt8](repeating: 0, count: 48)),
                    .errno(.noSuchRequest), "\(name), \(asked)")
            }
        }
    },
    Case("D.11", "BUS_MASTER isn't for PCI devices", on: .all) { t in
        let device = try t.openEdu().device
        for (name, operation) in operations {
            t.expect(
                device.feature(.busMaster, operation, payload: bytes(of: [1])), .errno(.noSuchRequest), name)
        }
    },
    Case("D.11", "the token of virtual functions isn't for a device that can't have any", on: .all) { t in
        let device = try t.openEdu().device
        for (name, operation) in operations {
            t.expect(
                device.feature(.pciVFToken, operation, payload: [UInt8](repeating: 1, count: 16)),
                .errno(.noSuchRequest), name)
        }
    },
    Case("D.11", "the second form of PRECOPY_INFO isn't for a device that can't be migrated", on: .all) { t in
        let device = try t.openEdu().device
        try t.requireUnmovable(device)
        for (name, operation) in operations {
            t.expect(
                device.feature(.migrationPrecopyInfoV2, operation), .errno(.invalid), name,
                .before(7, 1, .errno(.noSuchRequest), "the feature is new"))
        }
    },
    Case("D.11", "DMA_BUF can be got, not set", on: .all) { t in
        let device = try t.openEdu().device
        func none(_ major: Int, _ minor: Int) -> Exception {
            .before(major, minor, .errno(.noSuchRequest), "the feature is new")
        }
        let remote = Exception.remote(
            .errno(.noSuchRequest), "the protocol has no dma-bufs: as a kernel built without them")
        t.expect(
            device.feature(.dmaBuf, [.probe, .get]), .success, "PROBE, GET", none(6, 19), remote)
        t.expect(
            device.feature(.dmaBuf, [.probe, .set]), .errno(.invalid), "PROBE, SET", none(6, 19), remote)
        t.expect(
            device.feature(.dmaBuf, .get), .errno(.invalid), "GET without data", none(6, 19), remote)
    },
]

let operations: [(String, FeatureFlags)] = [
    ("GET", .get), ("SET", .set), ("PROBE", .probe), ("PROBE, GET", [.probe, .get]),
    ("PROBE, SET", [.probe, .set]), ("nothing", []),
]

private let lowPowerFeatures: [(String, Feature)] = [
    ("LOW_POWER_ENTRY", .lowPowerEntry), ("LOW_POWER_ENTRY_WITH_WAKEUP", .lowPowerEntryWithWakeup),
    ("LOW_POWER_EXIT", .lowPowerExit),
]

private let migrationFeatures: [(String, Feature)] = [
    ("MIGRATION", .migration), ("MIG_DEVICE_STATE", .migrationDeviceState),
    ("DMA_LOGGING_START", .dmaLoggingStart), ("DMA_LOGGING_STOP", .dmaLoggingStop),
    ("DMA_LOGGING_REPORT", .dmaLoggingReport), ("MIG_DATA_SIZE", .migrationDataSize),
]
