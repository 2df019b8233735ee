import DeviceModel
import Glibc
import LinuxSystem
import Synchronization
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// Runs work on threads of its own and waits for all of them.
func onThreads(_ count: Int, _ work: @escaping @Sendable (Int) -> Void) {
    final class Job {
        let work: @Sendable () -> Void
        init(_ work: @escaping @Sendable () -> Void) { self.work = work }
    }
    var threads: [pthread_t] = []
    for index in 0..<count {
        var thread = pthread_t()
        let job = Unmanaged.passRetained(Job { work(index) }).toOpaque()
        let error = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Job>.fromOpaque(raw).takeRetainedValue().work()
                return nil
            }, job)
        precondition(error == 0)
        threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
}

@Suite("The core may be used from many threads at a time")
struct CoreConcurrencyTests {
    @Test("devices read what is mapped or are refused, while others map and unmap")
    func mappingUnderDMA() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        #expect(rig.map(container, 0x100_0000, from: 77) == 0)
        let wrong = Atomic<Int>(0)
        let bus = rig.buses[0]
        onThreads(4) { index in
            for round in 0..<300 {
                if index < 2 {
                    let iova = UInt64(index * 0x10_0000 + (round % 8) * 0x1000)
                    if rig.map(container, iova, from: 10 + index) != 0 { wrong.add(1, ordering: .relaxed) }
                    if rig.unmap(container, iova, size: UInt64(pageSize)) != Int64(pageSize) {
                        wrong.add(1, ordering: .relaxed)
                    }
                } else {
                    // Either the whole of it, or nothing.
                    let found = bus.read(UInt64((index - 2) * 0x10_0000 + (round % 8) * 0x1000))
                    if let found, found != [UInt8(10 + index - 2)] { wrong.add(1, ordering: .relaxed) }
                    if bus.read(0x100_0000) != [77] { wrong.add(1, ordering: .relaxed) }
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(rig.host.lockedByteCount == UInt64(pageSize))
    }

    @Test("one of many gets the group, and every opening of a device ends")
    func openingInARace() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let second = Atomic<Int>(0)
        onThreads(4) { _ in
            for _ in 0..<200 {
                let device = rig.device(group)
                if device < 0 || rig.ask(device, .deviceGetInfo) != 7 { second.add(1, ordering: .relaxed) }
                let other = rig.open(.group(27))
                if other >= 0 {
                    rig.host.close(other)
                } else if other != -EBUSY {
                    second.add(1, ordering: .relaxed)
                }
                rig.host.close(device)
            }
        }
        #expect(second.load(ordering: .relaxed) == 0)
        #expect(rig.buses[0].opened == rig.buses[0].closed)
        #expect(rig.buses[0].opened >= 1)
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
    }

    @Test("requests race with the closing of what they are about")
    func closingInARace() throws {
        let rig = try Rig()
        for _ in 0..<100 {
            let (container, group) = rig.ready()
            onThreads(3) { index in
                switch index {
                case 0: rig.host.close(group)
                case 1: rig.host.close(container)
                default:
                    let answer = rig.map(container, 0)
                    precondition(answer == 0 || answer == -EBADF || answer == -EINVAL)
                }
            }
        }
        #expect(rig.host.lockedByteCount == 0)
    }
}
