import LinuxSystem
import Testing
import VFIO

@testable import VFIOGuest

@Suite("Notifiers of any IOMMU of the guest")
struct VIOMMUNotifierTests {
    let guest: VIOMMUGuest
    let iommu: ScriptedIOMMU
    let observer = VIOMMUObserver()

    init() throws {
        guest = try VIOMMUGuest()
        iommu = ScriptedIOMMU(guest.space)
    }

    @discardableResult
    private func register(
        _ range: ClosedRange<UInt64>, index: Int = 0, _ other: VIOMMUObserver? = nil
    ) throws -> IOMMUNotifier {
        let notifier = IOMMUNotifier([.map, .unmap], in: range, index: index, for: other ?? observer)
        try iommu.register(notifier, byteCount: 1 << 64)
        return notifier
    }

    @Test(
        "an IOMMU that can't replay by itself is asked for one block after the other, up to the last address")
    func replay() throws {
        iommu.entries = [
            iommu.entry(0x1000, 0x1000, to: 0x5000), iommu.entry(0x3000, 0x4000, to: 0x9000),
            iommu.entry(.max - 0xfff, 0x1000, to: 0x2000),
        ]
        iommu.replay(to: try register(0x1800...UInt64.max))
        #expect(
            observer.events == [
                .mapped(0x1800, 0x800, to: 0x5800), .mapped(0x3000, 0x4000, to: 0x9000),
                .mapped(.max - 0xfff, 0x1000, to: 0x2000),
            ])
        #expect(iommu.asked == [0x1000, 0x2000, 0x3000, 0x7000, .max - 0xfff])
    }

    @Test("an entry that isn't about what was asked takes a replay on by one page")
    func nonsense() throws {
        iommu.entries = [iommu.entry(0x1000, 0x1000, to: 0x5000)]
        iommu.isAstray = true
        iommu.replay(to: try register(0...0x2fff))
        #expect(iommu.asked == [0, 0x1000, 0x2000])
    }

    @Test("1.7 Events are cut to each notifier's range, and dropped where nothing is left")
    func cut() throws {
        try register(0x2000...0x2fff)
        let high = VIOMMUObserver()
        try register(0x8000...UInt64.max, high)
        iommu.map(0x1000, 0x4000, to: 0x10_0000)
        iommu.unmap(0x2800, 0x400)
        #expect(observer.events == [.mapped(0x2000, 0x1000, to: 0x10_1000), .unmapped(0x2800, 0x400)])
        #expect(high.events.isEmpty)
        // All of the 64-bit space, and one that would go beyond it.
        observer.pages = [:]
        iommu.unmap(0, 0)
        iommu.unmap(.max - 0xfff, 0x2000)
        #expect(observer.take().suffix(1) == [.unmapped(0x2000, 0x1000)])
        #expect(high.events == [.unmapped(0x8000, 0 &- 0x8000), .unmapped(.max - 0xfff, 0x1000)])
    }

    @Test("1.7 A notifier hears of the kind of access that it is for")
    func indexes() throws {
        iommu.kinds = 2
        let secure = VIOMMUObserver()
        #expect(iommu.index(for: IOMMUAccessAttributes()) == 0)
        try register(0...0xffff, index: iommu.index(for: IOMMUAccessAttributes(isSecure: true)), secure)
        try register(0...0xffff)
        iommu.notifiers.tell(.map, iommu.entry(0x1000, 0x1000, to: 0), index: 1)
        #expect(observer.events.isEmpty && secure.events.count == 1)
    }

    @Test("who ends its registration while others are told isn't told any more, and who comes isn't yet")
    func changesWhileTelling() throws {
        let second = VIOMMUObserver()
        let third = VIOMMUObserver()
        try register(0...0xffff)
        let leaving = try register(0...0xffff, second)
        observer.onMap = { [iommu] in
            iommu.unregister(leaving)
            try? iommu.register(
                IOMMUNotifier([.map, .unmap], in: 0...0xffff, for: third), byteCount: 0x1_0000)
        }
        iommu.map(0, 0x1000, to: 0)
        #expect(observer.events.count == 1 && second.events.isEmpty && third.events.isEmpty)
        observer.onMap = nil
        iommu.unmap(0, 0x1000)
        #expect(third.events.count == 1 && second.events.isEmpty)
    }

    @Test("an observer that is gone isn't told")
    func goneObserver() throws {
        do {
            let other = VIOMMUObserver()
            try register(0...0xffff, other)
        }
        iommu.map(0, 0x1000, to: 0)
        #expect(iommu.notifiers.count == 1 && iommu.notifiers.events == [.map, .unmap])
    }

    @Test("an attribute that an IOMMU doesn't have is nil, and one that it has is told")
    func attributes() {
        #expect(iommu.value(of: .kernelTable) == nil)
        final class Power: GuestIOMMU {
            let target: GuestAddressSpace
            let notifiers = IOMMUNotifiers()
            init(_ target: GuestAddressSpace) { self.target = target }
            func translate(_ offset: UInt64, for access: DMAPermissions, index: Int) -> IOMMUEntry {
                IOMMUEntry(
                    target: target, iova: offset, translated: GuestAddress(0), lastOffset: 0, permissions: [])
            }
            func value(of attribute: IOMMUAttribute) -> IOMMUAttribute.Value? { .descriptor(7) }
        }
        let power: any GuestIOMMU = Power(guest.space)
        #expect(power.value(of: .kernelTable) == .descriptor(7))
    }
}
