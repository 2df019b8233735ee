import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("What a type 1 IOMMU lets be mapped")
struct WindowTests {
    private static let reserved = [IOMMU.x86MessageWindow]

    @Test("1.5 The windows are what the host says that it translates, all with its page sizes")
    func windows() throws {
        let machine = try FaultyMachine(.group) {
            $0.iommu = IOMMU(
                pageSizes: [.kib4, .mib2], apertures: [0...0x7f_ffff_ffff], reserved: Self.reserved)
        }
        let device = try machine.attach()
        let windows = try #require(device.container).mapper.windows
        #expect(windows.map(\.description) == ["0x0...0xfedfffff", "0xfef00000...0x7fffffffff"])
        #expect(windows.allSatisfy { $0.smallestPage == 4096 })
        // 512 and larger units of it are made of the machine's own.
        #expect(windows.allSatisfy { $0.pageSizes & 1 << 12 != 0 && $0.pageSizes & 1 << 21 != 0 })
    }

    @Test("1.5 A host that doesn't say what it translates has one window, from 0 to the last address")
    func oneWindow() throws {
        let machine = try FaultyMachine()
        machine.amendInfo { $0.capabilityOffset = 0 }
        let device = try machine.attach()
        let windows = try #require(device.container).mapper.windows
        #expect(windows.map(\.range) == [.all])
    }

    @Test("1.18 A host that doesn't say which pages its IOMMU has is taken to have those of 4 KiB")
    func pageSizes() throws {
        let machine = try FaultyMachine()
        machine.amendInfo {
            $0.flags.remove(.pageSizes)
            $0.pageSizes = 0
        }
        let device = try machine.attach()
        #expect(device.container?.mapper.windows.map(\.pageSizes) == [4096, 4096])
    }

    @Test(
        "1.17 An IOMMU's log of written pages is used only where it has one bit for each page of the machine")
    func logs() throws {
        for (sizes, source) in [
            (1 << 12, .iommu), (1 << 12 | 1 << 21, .iommu), (1 << 16, .everything), (0, .everything),
        ] as [(UInt64, DirtySource)] {
            let machine = try FaultyMachine()
            machine.amendMigration { $0.pageSizes = sizes }
            let device = try machine.attach()
            #expect(device.container?.mapper.tracker.bestSource == source)
        }
        // Version 1 of type 1, and device nodes, have none.
        let machine = try FaultyMachine(.cdev)
        let device = try machine.attach()
        #expect(device.container?.mapper.tracker.bestSource == .everything)
    }

    @Test("1.5 Only a section that lies wholly in one window is mapped; one across the gap between two isn't")
    func across() throws {
        let machine = try FaultyMachine()
        try machine.ram("below", pages: 16, at: 0xfee0_0000 - 0x1_0000)
        try machine.ram("above", pages: 16, at: 0xfef0_0000)
        let device = try machine.attach()
        defer { withExtendedLifetime(device) {} }
        #expect(machine.machine.probers[0].read(at: 0xfedf_fff8) != nil)
        #expect(machine.machine.probers[0].read(at: 0xfef0_0000) != nil)
        for start in [0xfede_0000, 0xfee8_0000, 0xfed0_0000] as [UInt64] {
            let other = try FaultyMachine()
            try other.ram("across", pages: 512, at: start)
            let error = thrown { () throws(VFIOGuestError) in
                try other.devices.attach(GuestMachine.address(0), to: other.machine.space)
            }
            #expect(error?.code == .outsideAperture)
            #expect(other.maps.value.isEmpty && other.isIdle)
        }
    }

    @Test("1.6 A translated section of all 2^64 bytes is followed whole, from the first address to the last")
    func whole() throws {
        let machine = try VIOMMUMachine(byteCount: 1 << 64) { ScriptedIOMMU($0.space) }
        let iommu = try #require(machine.iommu as? ScriptedIOMMU)
        let device = try machine.attach()
        #expect(device.followers.map(\.range) == [.all])
        #expect(iommu.notifiers.count == 1)
        iommu.map(0xffff_f000, 0x1000, to: 0x90_0000)
        #expect(machine.write(5, at: 0xffff_f000))
        try machine.deviceRoot.remove(machine.region)
        #expect(machine.read(at: 0xffff_f000) == nil && iommu.notifiers.count == 0)
    }

    @Test(
        "1.6 Of a section that ends with the last address nothing is lost, and what begins beyond is passed over"
    )
    func lastAddress() throws {
        let machine = try VIOMMUMachine(byteCount: 1 << 63) { ScriptedIOMMU($0.space) }
        let half = UInt64(1) << 63
        try machine.deviceRoot.remove(machine.region)
        try machine.deviceRoot.add(machine.region, at: half - 0x1000)
        let device = try machine.attach()
        #expect(device.followers.map { $0.range.first } == [IOVA(half - 0x1000)])
        try machine.deviceRoot.remove(machine.region)
        try machine.deviceRoot.add(machine.region, at: half)
        guard case .skipped(.sizing)? = device.container?.mapper.outcomes.first?.outcome else {
            Issue.record("not passed over")
            return
        }
    }
}
