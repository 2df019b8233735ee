import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Faults on demand")
struct FaultInjectionTests {
    @Test("let any request fail at the calls that they name, and no other")
    func requests() throws {
        let rig = try Rig { $0.faults.rules = [FaultRule(.request(.iommuMapDMA, .noMemory), .nth(3))] }
        let (container, group) = rig.ready()
        let answers = (0..<5).map { rig.map(container, UInt64($0) * 0x1000) }
        #expect(answers == [0, 0, -ENOMEM, 0, 0])
        // Nothing was done: the range is free.
        #expect(rig.map(container, 0x2000) == 0)
        let token = rig.host.inject(
            FaultRule(.request(nil, .busy), on: FaultScope(files: .groups), .every(2)))
        #expect((0..<4).map { _ in rig.status(group) } == [3, -EBUSY, 3, -EBUSY])
        #expect(rig.ask(container, .getAPIVersion) == 0)
        #expect(rig.host.faultCount(of: token) == FaultCount(events: 4, fired: 2))
        #expect(rig.host.withdraw(token))
        #expect(!rig.host.withdraw(token))
        #expect(rig.host.faultCount(of: token) == nil)
        #expect((0..<4).map { _ in rig.status(group) } == [3, 3, 3, 3])
    }

    @Test("reach openings, reads, writes and mappings, of one node or device where they say so")
    func otherCalls() throws {
        let rig = try Rig()
        rig.host.inject(FaultRule(.open(.group(27), .accessDenied)))
        rig.host.inject(FaultRule(.open(nil, .tooManyDescriptors), .nth(2)))
        let (container, group) = (rig.open(.container), rig.open(.group(27)))
        #expect(group == -EACCES)
        #expect(container >= 0)
        let first = rig.open(.group(26))
        #expect(rig.setContainer(first, container) == 0 && rig.ask(container, .setIOMMU, 3) == 0)
        let device = rig.device(first)
        let twin = rig.device(first, Rig.twin)
        rig.host.inject(
            FaultRule(.read(.inputOutput), on: .device(PCIAddress(bus: 1, device: 0, function: 1))))
        rig.host.inject(FaultRule(.write(.noSpace), .from(2)))
        rig.host.inject(FaultRule(.map(.noMemory), .nth(1)))
        var bytes = [UInt8](repeating: 0, count: 4)
        func read(_ handle: Int32) -> Int32 {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            do throws(Errno) { return Int32(try rig.host.read(handle, at: 0, into: &raw)) } catch {
                return -error.rawValue
            }
        }
        func write(_ handle: Int32) -> Int32 {
            let bytes: [UInt8] = [1, 2]
            return rig.answer { () throws(Errno) in
                Int32(try rig.host.write(handle, at: 0, bytes.span.bytes))
            }
        }
        #expect(read(device) == 4 && read(twin) == -EIO)
        #expect([write(device), write(twin), write(device)] == [2, -ENOSPC, -ENOSPC])
        let window = try? rig.host.map(device, at: 0, byteCount: pageSize, protection: [.read])
        #expect(window == nil)
        let second = try rig.host.map(device, at: 0, byteCount: pageSize, protection: [.read])
        rig.host.unmap(second)
    }

    @Test("stop locking memory half-way, and nothing stays locked")
    func pinning() throws {
        let rig = try Rig()
        let (container, _) = rig.ready()
        rig.host.inject(FaultRule(.pin(afterPages: 4, .badAddress)))
        #expect(rig.map(container, 0, pages: 4) == 0)
        #expect(rig.map(container, 0x10_0000, pages: 5) == -EFAULT)
        #expect(rig.host.lockedByteCount == 4 * UInt64(pageSize))
        // Memory that isn't there is met first.
        rig.host.inject(FaultRule(.pin(afterPages: 0, .noMemory)))
        var map = DMAMap(flags: [.read], vaddr: 0x1000, iova: 0x20_0000, size: 8 * UInt64(pageSize))
        #expect(rig.ask(container, .iommuMapDMA, &map) == -EFAULT)
        #expect(rig.host.lockedByteCount == 4 * UInt64(pageSize))
    }

    @Test("come in the same sequence from the same seed, and in another from another")
    func determinism() throws {
        func sequence(_ seed: UInt64) throws -> [Bool] {
            let rig = try Rig {
                $0.faults = FaultPlan(
                    seed: seed,
                    rules: [FaultRule(.request(.iommuMapDMA, .noMemory), .probability(0.3))])
            }
            let (container, group) = rig.ready()
            return (0..<200).map { step in
                // What is asked in between doesn't matter.
                if step % Int(seed + 2) == 0 { _ = rig.status(group) }
                defer { _ = rig.unmap(container, 0, size: 0x1000) }
                return rig.map(container, 0) == 0
            }
        }
        let first = try sequence(1)
        #expect(try sequence(1) == first)
        #expect(try sequence(2) != first)
        let failures = first.filter { !$0 }.count
        #expect(failures > 35 && failures < 90, "\(failures) of 200 with a chance of 0.3")
    }

    @Test("are told afterwards, as many as there is room for")
    func telling() throws {
        let rig = try Rig()
        let container = rig.open(.container)
        let token = rig.host.inject(FaultRule(.request(nil, .inputOutput), .every(2)))
        for _ in 0..<1000 { _ = rig.ask(container, .getAPIVersion) }
        let records = rig.host.injectedFaults
        #expect(records.count == SoftwareHost.injectedFaultLimit)
        #expect(records.last == records.last { $0.token == token && $0.event == 1000 })
        #expect(zip(records, records.dropFirst()).allSatisfy { $0.event + 2 == $1.event })
        #expect(rig.host.faultRules.map(\.token) == [token])
    }

    @Test("by rules that hold together: the first that fires counts, all count the event")
    func several() throws {
        let rig = try Rig()
        let first = rig.host.inject(FaultRule(.request(nil, .busy), .nth(2)))
        let second = rig.host.inject(FaultRule(.request(.getAPIVersion, .inputOutput), .from(2)))
        let container = rig.open(.container)
        #expect((0..<3).map { _ in rig.ask(container, .getAPIVersion) } == [0, -EBUSY, -EIO])
        #expect(rig.host.faultCount(of: first) == FaultCount(events: 3, fired: 1))
        #expect(rig.host.faultCount(of: second) == FaultCount(events: 3, fired: 1))
    }
}
