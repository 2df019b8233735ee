import LinuxSystem
import VFIOABI
import VFIOHost

/// F.5: what is for the IOMMUs of virtual machines, on a machine whose IOMMU has nothing for them.
let virtualObjectCases: [Case] = [
    Case("F.5", "HWPT_INVALIDATE: what can't be invalidated", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let table = try bench.table()
        for (request, errno, label) in [
            (HWPTInvalidate(hwptID: 99, reserved: 1), .notSupported, "reserved first"),
            (HWPTInvalidate(hwptID: 99, entryCount: 1), .invalid, "entries nowhere before the id"),
            (HWPTInvalidate(hwptID: 99), .noSuchEntry, "no object"),
            (HWPTInvalidate(hwptID: bench.space.ioas), .invalid, "an address space"),
            (HWPTInvalidate(hwptID: table), .invalid, "a page table that isn't in another"),
        ] as [(HWPTInvalidate, Errno, String)] {
            t.expect(bench.iommufd.request(.hwptInvalidate, request), .errno(errno), label)
        }
        var request = HWPTInvalidate(hwptID: table, entryLength: 16, entryCount: 3)
        request.dataAddress = bench.space.memory.vaddr
        t.expect(bench.iommufd.request(.hwptInvalidate, &request), .errno(.invalid), "three entries")
        t.expect(request.entryCount, equals: 0, "how many were done")
    },
    Case("F.5", "VIOMMU_ALLOC: nothing to make one of", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let table = try bench.table()
        let known = VIOMMUType(rawValue: 1)
        for (request, errno, label) in [
            (VIOMMUAlloc(flags: 1, type: known), .notSupported, "flags"),
            (VIOMMUAlloc(), .notSupported, "no type"),
            (VIOMMUAlloc(type: known, deviceID: 99), .noSuchEntry, "no device"),
            (VIOMMUAlloc(type: known, deviceID: bench.id, hwptID: table), .notSupported, "of a page table"),
        ] as [(VIOMMUAlloc, Errno, String)] {
            t.expect(bench.iommufd.request(.viommuAlloc, request), .errno(errno), label)
        }
    },
    Case("F.5", "devices, events and queues of a virtual IOMMU that isn't there", on: .cdev) { t in
        let bench = try t.pageTableBench()
        t.expect(
            bench.iommufd.request(.vdeviceAlloc, VDeviceAlloc(viommuID: 99, deviceID: bench.id)),
            .errno(.noSuchEntry), "VDEVICE_ALLOC")
        t.expect(
            bench.iommufd.request(
                .vdeviceAlloc, VDeviceAlloc(viommuID: bench.space.ioas, deviceID: bench.id)),
            .errno(.noSuchEntry), "VDEVICE_ALLOC, an address space")
        let events = VEventQueueType(rawValue: 1)
        for (request, errno, label) in [
            (VEventQueueAlloc(flags: 1, type: events, depth: 1), .notSupported, "flags"),
            (VEventQueueAlloc(depth: 1), .notSupported, "no type"),
            (VEventQueueAlloc(type: events), .invalid, "no depth"),
            (VEventQueueAlloc(viommuID: 99, type: events, depth: 1), .noSuchEntry, "no virtual IOMMU"),
        ] as [(VEventQueueAlloc, Errno, String)] {
            t.expect(
                bench.iommufd.request(.veventQueueAlloc, request), .errno(errno), "VEVENTQ_ALLOC: \(label)")
        }
        let queues = HWQueueType(rawValue: 1)
        for (request, errno, label) in [
            (HWQueueAlloc(flags: 1, type: queues, length: 1), .notSupported, "flags"),
            (HWQueueAlloc(length: 1), .notSupported, "no type"),
            (HWQueueAlloc(type: queues), .invalid, "no length"),
            (
                HWQueueAlloc(type: queues, nestingParentIOVA: .max, length: 2), .overflow,
                "an end that can't be"
            ),
            (HWQueueAlloc(viommuID: 99, type: queues, length: 1), .noSuchEntry, "no virtual IOMMU"),
        ] as [(HWQueueAlloc, Errno, String)] {
            t.expect(bench.iommufd.request(.hwQueueAlloc, request), .errno(errno), "HW_QUEUE_ALLOC: \(label)")
        }
    },
    Case("F.5", "a fault queue can be had by everybody", on: .cdev) { t in
        let bench = try t.pageTableBench()
        for flags in [1, 1 << 31] as [UInt32] {
            t.expect(
                bench.iommufd.request(.faultQueueAlloc, FaultQueueAlloc(flags: flags)),
                .errno(.notSupported), "flags \(flags)")
        }
        var request = FaultQueueAlloc()
        t.expect(bench.iommufd.request(.faultQueueAlloc, &request), .success, "FAULT_QUEUE_ALLOC")
        t.expect(request.faultID, equals: 3, "out_fault_id, behind the address space and the device")
        let queue = t.adopt(Int32(bitPattern: request.faultFD))
        t.expect(queue.readNext(80).answer, .value(0), "read: no faults")
        t.expect(queue.readNext(0).answer, .value(0), "read of nothing")
        t.expect(queue.readNext(39).answer, .errno(.illegalSeek), "read of a part of one")
        t.expect(queue.writeNext([UInt8](repeating: 0, count: 8)), .errno(.invalid), "write: no such fault")
        t.expect(queue.writeNext([1, 2, 3]), .errno(.illegalSeek), "write of a part of an answer")
        t.expect(queue.request(.getAPIVersion), .errno(.noSuchRequest), "a request")
        t.expect(bench.space.destroy(request.faultID), .errno(.busy), "DESTROY while it is open")
        t.expect(
            bench.device.attach(to: request.faultID).answer, .errno(.invalid), "ATTACH to it")
        let told = bench.allocate(.faultIDValid) { $0.faultID = request.faultID }
        t.expect(told.answer, .success, "HWPT_ALLOC with it")
        t.expect(
            bench.allocate(.faultIDValid) { $0.faultID = bench.space.ioas }.answer, .errno(.noSuchEntry),
            "HWPT_ALLOC with an address space")
        t.expect(
            bench.device.attach(to: told.id).answer, .errno(.noDevice),
            "ATTACH of a device that has no faults")
        queue.close()
        t.expect(bench.space.destroy(request.faultID), .errno(.busy), "DESTROY while a page table has it")
        t.expect(bench.space.destroy(told.id), .success, "DESTROY the page table")
        t.expect(bench.space.destroy(request.faultID), .success, "DESTROY")
        t.expect(bench.space.destroy(bench.space.ioas), .success, "nothing else was made")
    },
]
