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

    @Test("the IOMMU comes and goes while requests to it are under way")
    func driverInARace() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        let wrong = Shared<[String]>([])
        onThreads(4) { index in
            for _ in 0..<300 {
                switch index {
                case 0:
                    let answers = [
                        rig.setContainer(group, container), rig.ask(container, .setIOMMU, 3),
                        rig.ask(group, .groupUnsetContainer),
                    ]
                    if answers != [0, 0, 0] { wrong.value += ["\(answers)"] }
                case 1:
                    let answer = rig.map(container, 0x1000)
                    // Still there from the round before, or not there at all.
                    if ![0, -EINVAL, -EEXIST].contains(answer) { wrong.value += ["MAP \(answer)"] }
                    let end = rig.unmap(container, 0x1000, size: UInt64(pageSize))
                    if ![0, Int64(pageSize), Int64(-EINVAL)].contains(end) {
                        wrong.value += ["UNMAP \(end)"]
                    }
                case 2:
                    let info = rig.ask(container, .iommuGetInfo, with: IOMMUType1Info())
                    if ![0, -EINVAL].contains(info) { wrong.value += ["GET_INFO \(info)"] }
                default:
                    let answer = rig.ask(container, .checkExtension, 4)
                    if ![0, 1].contains(answer) { wrong.value += ["CHECK_EXTENSION \(answer)"] }
                    let status = rig.status(group)
                    if ![1, 3].contains(status) { wrong.value += ["GET_STATUS \(status)"] }
                }
            }
        }
        #expect(wrong.value == [])
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("the last hold on a device ends while requests are under way: it is closed once, after all of them")
    func lastHoldInARace() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let wrong = Shared<[String]>([])
        for _ in 0..<100 {
            let device = rig.device(group)
            onThreads(4) { index in
                switch index {
                case 0: rig.host.close(device)
                case 1:
                    // The mapping outlives the handle, and is the last hold then.
                    guard let window = try? rig.host.map(device, at: 0, byteCount: 1, protection: .read)
                    else {
                        return
                    }
                    if !rig.buses[0].isOpen { wrong.value += ["mapped and closed"] }
                    rig.host.unmap(window)
                default:
                    let answer = rig.ask(device, .deviceGetInfo)
                    if ![7, -EBADF].contains(answer) { wrong.value += ["GET_INFO \(answer)"] }
                }
            }
            if rig.buses[0].isOpen || rig.buses[0].opened != rig.buses[0].closed { wrong.value += ["open"] }
        }
        #expect(wrong.value == [])
        #expect(rig.ask(group, .groupUnsetContainer) == 0)
    }

    @Test("drivers change while others open and close the device, through its group and by its node")
    func bindingInARace() throws {
        let rig = try Rig { $0.releaseRequestMilliseconds = 1 }
        let address = CoreBindingTests.third
        let wrong = Shared<[String]>([])
        let opened = Atomic<Int>(0)
        onThreads(4) { index in
            // Whoever opens the device goes on until somebody got through: with bad luck nobody does while its
            // driver changes.
            var round = -1
            while round < 149 || (index == 1 && opened.load(ordering: .relaxed) == 0) {
                round += 1
                switch index {
                case 0:
                    do throws(Errno) {
                        try rig.host.bind(address, to: nil)
                        try rig.host.bind(address, to: round % 2 == 0 ? "vfio-pci" : "pci-stub")
                        if round % 2 == 1 { try rig.host.bind(address, to: "vfio-pci") }
                    } catch {
                        wrong.value += ["bind \(error)"]
                    }
                case 1, 2:
                    let group = rig.open(.group(27))
                    if group < 0 {
                        if ![-ENOENT, -EBUSY].contains(group) { wrong.value += ["group \(group)"] }
                        continue
                    }
                    let container = rig.open(.container)
                    _ = rig.setContainer(group, container)
                    _ = rig.ask(container, .setIOMMU, 3)
                    let device = rig.device(group, Rig.other)
                    if device >= 0 {
                        opened.add(1, ordering: .relaxed)
                        let answer = rig.ask(device, .deviceGetInfo)
                        if answer != 7 { wrong.value += ["GET_INFO \(answer)"] }
                    } else if ![-ENODEV, -EINVAL].contains(device) {
                        wrong.value += ["GET_DEVICE_FD \(device)"]
                    }
                    for handle in round % 2 == 0 ? [device, group, container] : [container, group, device]
                    where handle >= 0 {
                        rig.host.close(handle)
                    }
                default:
                    let iommufd = rig.open(.iommu)
                    guard let node = (try? rig.host.inventory().device(at: address))?.deviceNode else {
                        continue
                    }
                    let file = rig.open(.device(node))
                    if file >= 0 {
                        let answer = rig.ask(
                            file, .deviceBindIOMMUFD, with: DeviceBindIOMMUFD(iommufd: iommufd))
                        if ![0, -EBUSY, -EPERM].contains(answer) { wrong.value += ["BIND \(answer)"] }
                        rig.host.close(file)
                    } else if file != -ENOENT {
                        wrong.value += ["node \(file)"]
                    }
                    rig.host.close(iommufd)
                }
            }
        }
        #expect(wrong.value == [])
        #expect(opened.load(ordering: .relaxed) > 0)
        for bus in rig.buses { #expect(bus.opened == bus.closed) }
        #expect(try rig.host.inventory().device(at: address)?.driver?.name == "vfio-pci")
        #expect(rig.open(.group(27)) >= 0)
    }

    @Test("groups are unplugged and plugged in while others rely on them")
    func pluggingInARace() throws {
        let rig = try Rig()
        let address = CoreBindingTests.third
        let wrong = Shared<[String]>([])
        onThreads(3) { index in
            for _ in 0..<150 {
                if index == 0 {
                    do {
                        try rig.host.unplug(address)
                        try rig.host.plug(PCIDevice(PlainModel(), at: address), intoGroup: 27)
                    } catch {
                        wrong.value += ["\(error)"]
                    }
                } else {
                    let group = rig.open(.group(27))
                    let container = rig.open(.container)
                    _ = rig.setContainer(group, container)
                    _ = rig.ask(container, .setIOMMU, 3)
                    let user = try? rig.host.externalUser(ofGroup: group)
                    let files = VFIODeviceFiles(of: rig.host)
                    try? files.add(group)
                    rig.host.close(group)
                    rig.host.close(container)
                    user?.release()
                }
            }
        }
        #expect(wrong.value == [])
        #expect(rig.host.lockedByteCount == 0)
        #expect(rig.open(.group(27)) >= 0)
    }
}
