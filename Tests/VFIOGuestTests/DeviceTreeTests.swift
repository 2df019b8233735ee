import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOGuest
import VFIOHost

/// Reads a flattened tree, as a guest's kernel does.
private struct Reader {
    let blob: [UInt8]
    private var at = 0
    private var strings = 0

    init(_ blob: [UInt8]) { self.blob = blob }

    private func word(_ place: Int) -> UInt32 { blob[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) } }

    private func text(_ place: Int) -> String {
        String(decoding: blob[place...].prefix { $0 != 0 }, as: UTF8.self)
    }

    private mutating func next() -> UInt32 {
        defer { at += 4 }
        return word(at)
    }

    mutating func tree() throws -> DeviceTree {
        #expect(word(0) == 0xd00d_feed && word(4) == UInt32(blob.count))
        #expect(word(20) == 17 && word(24) == 16)
        at = Int(word(8))
        strings = Int(word(12))
        #expect(at + Int(word(36)) == strings && strings + Int(word(32)) == blob.count)
        var reservations: [DeviceTree.Reservation] = []
        var place = Int(word(16))
        while true {
            let address = UInt64(word(place)) << 32 | UInt64(word(place + 4))
            let byteCount = UInt64(word(place + 8)) << 32 | UInt64(word(place + 12))
            if address == 0 && byteCount == 0 { break }
            reservations.append(DeviceTree.Reservation(address: address, byteCount: byteCount))
            place += 16
        }
        #expect(next() == 1)
        var tree = DeviceTree(node())
        #expect(next() == 9 && at == strings)
        tree.reservations = reservations
        tree.bootProcessor = word(28)
        return tree
    }

    private mutating func node() -> DeviceTreeNode {
        var node = DeviceTreeNode(text(at))
        at += (node.name.utf8.count + 4) & ~3
        while true {
            switch next() {
            case 1: node.children.append(self.node())
            case 3:
                let count = Int(next())
                let name = text(strings + Int(next()))
                node[name] = Array(blob[at..<at + count])
                at += (count + 3) & ~3
            default: return node
            }
        }
    }
}

@Suite("Device trees")
struct DeviceTreeTests {
    @Test("are flattened so that a kernel finds the same in them")
    func roundTrip() throws {
        var tree = DeviceTree()
        tree.root.set("compatible", "linux,dummy-virt")
        tree.root.set("#address-cells", cells: [2])
        tree.root.set("empty")
        var bus = DeviceTreeNode("platform@c000000")
        bus.set("compatible", "a", "bc", "")
        bus["odd"] = [1, 2, 3, 4, 5]
        bus.children = [DeviceTreeNode("ethernet@0"), DeviceTreeNode("ethernet@1000")]
        tree.root.children = [bus, DeviceTreeNode("chosen")]
        tree.reservations = [DeviceTree.Reservation(address: 0x1_0000_0000, byteCount: 0x1000)]
        tree.bootProcessor = 3
        let blob = try tree.flattened()
        var reader = Reader(blob)
        #expect(try reader.tree() == tree)
        #expect(blob.count % 4 != 0 || !blob.isEmpty)
    }

    @Test("take no names that can't be any, and no endless depth")
    func names() throws {
        func failure(_ change: (inout DeviceTree) -> Void) -> VFIOError.Code? {
            var tree = DeviceTree()
            change(&tree)
            do throws(VFIOGuestError) {
                _ = try tree.flattened()
                return nil
            } catch {
                return error.code
            }
        }
        #expect(failure { $0.root.children = [DeviceTreeNode("")] } == .notSupported)
        #expect(failure { $0.root.children = [DeviceTreeNode("a/b")] } == .notSupported)
        #expect(failure { $0.root = DeviceTreeNode("root") } == .notSupported)
        #expect(failure { $0.root.set("a b") } == .notSupported)
        #expect(failure { $0.root.set(String(repeating: "x", count: 32)) } == .notSupported)
        #expect(
            failure { tree in
                var node = DeviceTreeNode("leaf")
                for _ in 0..<100 {
                    var above = DeviceTreeNode("node")
                    above.children = [node]
                    node = above
                }
                tree.root.children = [node]
            } == .notSupported)
        #expect(failure { $0.root.set("fine", cells: [1]) } == nil)
    }

    @Test("properties are set, found, replaced and removed")
    func properties() {
        var node = DeviceTreeNode("x")
        node.set("reg", cells: [1, 0x0203_0405])
        #expect(node["reg"] == [0, 0, 0, 1, 2, 3, 4, 5] && node.cells("reg") == [1, 0x0203_0405])
        node.set("names", "one", "two")
        #expect(node.texts("names") == ["one", "two"] && node.texts("reg") == nil)
        node["reg"] = nil
        #expect(node["reg"] == nil && node.cells("names") == [0x6f6e_6500, 0x7477_6f00])
        #expect(node.properties.map(\.name) == ["names"])
    }
}

@Suite("A platform device's node")
struct PlatformDeviceNodeTests {
    private func open(
        _ model: any BusDeviceModel, _ name: String
    ) throws -> (device: Device, firmware: FirmwareRecord) {
        let id = try #require(DeviceID(.platform, name))
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(7) { BusDevice(model, id) }
        }
        let firmware = try #require(try host.inventory().summary(of: id)?.firmware)
        return (try Device(opening: id, on: host), firmware)
    }

    @Test("tells where the guest finds its registers and lines, and what the host's firmware said")
    func ethernet() throws {
        let (device, firmware) = try open(SeattleXGBE(), "e0700000.xgmac")
        var placement = PlatformPlacement(
            regionAddresses: [0xc10_0000, 0xc20_0000], interrupts: [.shared(112), .shared(113), .private(2)],
            busAddress: 0xc00_0000)
        placement.addressCellCount = 1
        placement.sizeCellCount = 1
        placement.properties = [DeviceTreeNode.Property("amd,speed-set", [0, 0, 0, 0])]
        let made = try PlatformDeviceNode(device, firmware, at: placement)
        #expect(made.node.name == "xgmac@100000" && made.clockNodes.isEmpty)
        #expect(made.node.texts("compatible") == ["amd,xgbe-seattle-v1a"])
        #expect(made.node.cells("reg") == [0x10_0000, 0x80000, 0x20_0000, 0x80000])
        #expect(made.node.cells("interrupts") == [0, 112, 4, 0, 113, 1, 1, 2, 1])
        #expect(made.node.texts("phy-mode") == ["xgmii"] && made.node["dma-coherent"] == [])
        #expect(made.node["amd,speed-set"] == [0, 0, 0, 0])
        var tree = DeviceTree()
        tree.root.children = [made.node]
        #expect(try !tree.flattened().isEmpty)
        placement.regionAddresses.removeLast()
        let tooFew = placement
        let missing = #expect(throws: VFIOError.self) {
            _ = try PlatformDeviceNode(device, firmware, at: tooFew)
        }
        #expect(missing?.code == .outOfBounds && missing?.cause == "there is no address for region 1")
        var tooHigh = placement
        tooHigh.regionAddresses = [0xc10_0000, 0x1_0c00_0000]
        #expect(throws: VFIOError.self) { _ = try PlatformDeviceNode(device, firmware, at: tooHigh) }
    }

    @Test("refers to clocks of its own in place of the host's, and to nothing else of it")
    func clocks() throws {
        let (device, firmware) = try open(CalxedaXGMAC(), CalxedaXGMAC.name)
        var host = firmware
        for (name, value) in [
            ("clocks", [0, 0, 0, 9]), ("clock-names", Array("dma_clk\0ptp_clk\0".utf8)),
            ("iommus", [0, 0, 0, 4]),
            ("vdd-supply", [0, 0, 0, 5]), ("pinctrl-0", [0, 0, 0, 6]), ("reg", [1, 2, 3, 4]),
            ("phandle", [0, 0, 0, 7]),
            ("local-mac-address", [2, 0, 0, 0, 0, 1]),
        ] as [(String, [UInt8])] { host.properties.append(FirmwareRecord.Property(name, value)) }
        var placement = PlatformPlacement(
            regionAddresses: [0x1_0c00_0000], interrupts: [.shared(0), .shared(1), .shared(2)],
            busAddress: 0x1_0000_0000, clocks: [.init("dma_clk", hertz: 250_000_000, phandle: 0x8001)])
        let one = placement
        let missing = #expect(throws: VFIOError.self) { _ = try PlatformDeviceNode(device, host, at: one) }
        #expect(missing?.cause == "nothing stands in for its clock \"ptp_clk\"")
        placement.clocks.append(.init("ptp_clk", hertz: 125_000_000, phandle: 0x8002))
        let made = try PlatformDeviceNode(device, host, at: placement)
        #expect(made.node.name == "ethernet@c000000")
        #expect(made.node.cells("reg") == [0, 0xc00_0000, 0, 4096])
        #expect(made.node.cells("clocks") == [0x8001, 0x8002])
        #expect(made.node.texts("clock-names") == ["dma_clk", "ptp_clk"])
        for name in ["iommus", "vdd-supply", "pinctrl-0", "phandle"] { #expect(made.node[name] == nil) }
        #expect(made.node["local-mac-address"] == [2, 0, 0, 0, 0, 1])
        #expect(made.clockNodes.map { $0.cells("clock-frequency") } == [[250_000_000], [125_000_000]])
        #expect(made.clockNodes.map { $0.cells("phandle") } == [[0x8001], [0x8002]])
        #expect(made.clockNodes.allSatisfy { $0.texts("compatible") == ["fixed-clock"] })
    }

    @Test("can't be made of what ACPI describes")
    func acpi() throws {
        let (device, _) = try open(CalxedaXGMAC(), CalxedaXGMAC.name)
        let refused = #expect(throws: VFIOError.self) {
            _ = try PlatformDeviceNode(
                device, FirmwareRecord(acpiID: "AMDI8001"), at: PlatformPlacement(regionAddresses: [0]))
        }
        #expect(refused?.code == .notSupported)
    }
}
