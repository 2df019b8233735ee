import LinuxSystem
import VFIOABI
import VFIOHost

/// F.4: a guest's page table in front of a user's.
let nestingCases: [Case] = [
    Case("F.4", "a guest's table is in front of one that was made for it", on: .cdev) { t in
        let bench = try t.trackingBench()
        let parent = bench.allocate(.nestParent)
        t.expect(parent.answer, .success, "HWPT_ALLOC, NEST_PARENT")
        t.expect(bench.attach(to: parent.id), .success, "ATTACH to it")
        let nested = bench.nested(in: parent.id)
        t.expect(nested.answer, .success, "HWPT_ALLOC in front")
        t.expect(bench.space.destroy(bench.space.ioas), .errno(.busy), "DESTROY the address space")
        t.expect(bench.attach(to: nested.id), .success, "ATTACH to that")
        t.expect(bench.space.destroy(parent.id), .errno(.busy), "DESTROY the one behind")
        t.expect(bench.space.destroy(nested.id), .errno(.busy), "DESTROY it")
        t.expect(bench.attach(to: parent.id), .success, "ATTACH to the one behind")
        t.expect(bench.space.destroy(parent.id), .errno(.busy), "DESTROY the one behind")
        t.expect(bench.space.destroy(nested.id), .success, "DESTROY it")
        t.expect(bench.attach(to: bench.space.ioas), .success, "ATTACH to the address space")
        t.expect(bench.space.destroy(parent.id), .success, "DESTROY the one behind")
    },
    Case("F.4", "what a guest's table can't be in front of", on: .cdev) { t in
        let bench = try t.trackingBench()
        let plain = bench.allocate([]).id
        let parent = bench.allocate(.nestParent).id
        t.expect(bench.nested(in: plain).answer, .errno(.invalid), "one that wasn't made for it")
        let nested = bench.nested(in: parent).id
        t.expect(bench.nested(in: nested).answer, .errno(.invalid), "a guest's")
        t.expect(bench.nested(in: 99).answer, .errno(.invalid), "nothing")
        t.expect(bench.nested(in: bench.id).answer, .errno(.invalid), "a device")
        t.expect(bench.track(nested, true), .errno(.noSuchEntry), "SET_DIRTY_TRACKING of a guest's")
        t.expect(bench.bits(nested), equals: "ENOENT", "GET_DIRTY_BITMAP of a guest's")
    },
    Case("F.4", "a guest's table: flags and description", on: .cdev) { t in
        let bench = try t.trackingBench()
        let parent = bench.allocate(.nestParent).id
        for (flags, label) in [
            (.nestParent, "NEST_PARENT"), (.dirtyTracking, "DIRTY_TRACKING"),
            (.init(rawValue: 1 << 31), "unknown"),
        ] as [(HWPTAllocFlags, String)] {
            t.expect(
                bench.nested(in: parent) { $0.flags = flags }.answer, .errno(.notSupported), "flags: \(label)"
            )
        }
        t.expect(
            bench.nested(in: parent) { $0.flags = .faultIDValid }.answer, .errno(.noSuchEntry),
            "flags: FAULT without a queue")
        let none = bench.nested(in: parent) {
            $0.dataType = .none
            $0.dataLength = 0
            $0.dataAddress = 0
        }
        t.expect(none.answer, .errno(.notSupported), "no description")
        t.expect(bench.nested(in: parent) { $0.dataLength = 1 }.answer, .errno(.invalid), "a byte of one")
        t.expect(
            bench.nested(in: parent) { $0.dataAddress = 0x1000 }.answer, .errno(.badAddress),
            "one that isn't there")
        let long = try t.buffer(64)
        long.store(UInt32(48), at: 16)
        let place = UInt64(long.address.rawValue)
        let zeros = bench.nested(in: parent) { ($0.dataAddress, $0.dataLength) = (place, 64) }
        t.expect(zeros.answer, .errno(.invalid), "a longer one that ends in zeros")
        long.store(UInt8(1), at: 63)
        let bits = bench.nested(in: parent) { ($0.dataAddress, $0.dataLength) = (place, 64) }
        t.expect(bits.answer, .errno(.invalid), "a longer one that doesn't")
    },
    Case("F.4", "HWPT_INVALIDATE of a guest's table", on: .cdev) { t in
        let bench = try t.trackingBench()
        let parent = bench.allocate(.nestParent).id
        let nested = bench.nested(in: parent).id
        let entries = try t.buffer(3 * bench.entryLength)
        entries.fill(0)
        func invalidate(
            _ label: String, _ wanted: Answer, _ done: UInt32, _ change: (inout HWPTInvalidate) -> Void
        ) {
            var request = HWPTInvalidate(
                hwptID: nested, dataAddress: UInt64(entries.address.rawValue),
                dataType: bench.invalidationType, entryLength: UInt32(bench.entryLength), entryCount: 3)
            change(&request)
            t.expect(bench.space.iommufd.request(.hwptInvalidate, &request), wanted, label)
            t.expect(request.entryCount, equals: done, "\(label): done")
        }
        invalidate("three entries", .success, 3) { _ in }
        invalidate("none", .success, 0) { $0.entryCount = 0 }
        invalidate("none, nowhere", .success, 0) {
            ($0.entryCount, $0.dataAddress, $0.entryLength) = (0, 0, 0)
        }
        invalidate("nowhere", .errno(.invalid), 0) { $0.dataAddress = 0 }
        invalidate("of no length", .errno(.invalid), 0) { $0.entryLength = 0 }
        invalidate("too short", .errno(.invalid), 0) { $0.entryLength = 4 }
        invalidate("not there", .errno(.badAddress), 0) { $0.dataAddress = 0x1000 }
        invalidate("reserved", .errno(.notSupported), 0) { $0.reserved = 1 }
        invalidate("another kind", .errno(.invalid), 0) { $0.dataType = .init(rawValue: 77) }
        invalidate("another kind, none", .errno(.invalid), 0) {
            ($0.dataType, $0.entryCount) = (.init(rawValue: 77), 0)
        }
        invalidate("the table behind", .errno(.invalid), 0) { $0.hwptID = parent }
        entries.store(UInt32(1 << 31), at: 2 * bench.entryLength + bench.flagsOffset)
        invalidate("unknown flags in the third", .errno(.notSupported), 2) { _ in }
    },
]
