import LinuxSystem
import NVMeController
import PCIDecoder
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost
import VFIOOperator

@Suite("The registers of a device")
struct DeviceRegistersTests {
    private static func registers(_ name: String = "0000:01:00.0") throws -> DeviceRegisters {
        let namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        let host = try SoftwareHost(
            MachineDescription {
                IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
                IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
            })
        return try DeviceRegisters(of: try #require(DeviceID(name)), on: host, roots: nil)
    }

    private static func refusal(_ body: () throws -> Void) -> VFIOError? {
        do {
            try body()
            return nil
        } catch {
            return error as? VFIOError
        }
    }

    @Test("are read by name, in their own width, with their fields")
    func names() throws {
        let registers = try Self.registers()
        let control = try registers.read(try RegisterPlace("config:pcie.devctl"))
        #expect(control.width == 2 && control.decoded?["Max Read Request Size"]?.meaning == "512 bytes")
        #expect(control.register?.title == "Device Control" && control.source == "vfio")
        // By its title, and by its distance from the capability, it is the same one.
        for text in ["config:PCIE.Device-Control", "config:PCIE+8"] {
            let same = try registers.read(try RegisterPlace(text))
            #expect(same.offset == control.offset && same.values == control.values, "\(text)")
            #expect(same.decoded == control.decoded, "\(text)")
        }
        let capabilities = try registers.read(try RegisterPlace("bar0:cap"))
        #expect(capabilities.width == 8 && capabilities.offset == 0)
        #expect(capabilities.decoded?["Maximum Queue Entries"]?.meaning == "2048")
        let version = try registers.read(try RegisterPlace("bar0:VS"))
        #expect(version.decoded?.summary == "NVMe 1.4.0")
        // Three bytes, which no single access has.
        let code = try registers.read(try RegisterPlace("config:CLASS"))
        #expect(code.values == [0x02, 0x08, 0x01] && code.decoded?.value == 0x010802)
        // Eight bytes, in configuration space two accesses.
        let bar = try registers.read(try RegisterPlace("config:BAR0"))
        #expect(bar.width == 4 && bar.values.count == 2 && bar.decoded?.byteCount == 8)
    }

    @Test("have one name each, by which they are found again where the list says")
    func list() throws {
        for name in ["0000:01:00.0", "0000:02:00.0"] {
            let map = try Self.registers(name).map
            #expect(map.registers.count > 20)
            for register in map.registers {
                let found = map.register(named: register.name, in: register.region)
                #expect(found == register, "\(register.name)")
            }
            #expect(map.isNVMe == (name == "0000:01:00.0"))
        }
    }

    @Test(
        "of a second capability of a kind have a number in their names; a bridge's header has a bridge's names"
    )
    func repeated() {
        var bytes = [UInt8](repeating: 0, count: 256)
        bytes[6] = 0x10
        bytes[0x0e] = 1
        bytes[0x34] = 0x40
        bytes.replaceSubrange(0x40..<0x43, with: [0x09, 0x50, 0x08])
        bytes.replaceSubrange(0x50..<0x53, with: [0x09, 0x00, 0x08])
        let map = RegisterMap(DecodedConfiguration(decoding: bytes))
        #expect(map.register(named: "VENDOR", in: .configuration)?.offset == 0x40)
        #expect(map.register(named: "VENDOR2", in: .configuration)?.offset == 0x50)
        #expect(map.register(named: "SECONDARY_BUS_NUMBER", in: .configuration)?.offset == 0x19)
        #expect(map.register(named: "BAR2", in: .configuration) == nil)
    }

    @Test("are read as several words, within the region only")
    func words() throws {
        let registers = try Self.registers()
        let words = try registers.read(try RegisterPlace("bar0:0"), count: 6)
        #expect(words.width == 4 && words.values.count == 6 && words.values[2] == 0x0001_0400)
        #expect(try registers.read(try RegisterPlace("config:0"), width: 1, count: 2).values == [0x34, 0x12])
        let cases: [(String, Int?, Int?, VFIOError.Code)] = [
            ("bar0:0x4000", nil, nil, .outOfBounds), ("bar0:0x3ffc", 4, 2, .outOfBounds),
            ("bar0:0xfffffffffffffffc", 4, nil, .outOfBounds), ("bar0:0", 8, .max, .outOfBounds),
            ("bar0:2", 4, nil, .misaligned), ("config:0", 8, nil, .notSupported),
            ("rom:0", nil, nil, .notSupported),
            ("region77:0", nil, nil, .notSupported), ("config:NONE", nil, nil, .notSupported),
        ]
        for (text, width, count, code) in cases {
            let error = Self.refusal {
                _ = try registers.read(try RegisterPlace(text), width: width, count: count)
            }
            #expect(error?.code == code, "\(text): \(String(describing: error))")
            #expect(error?.remedy != nil, "\(text)")
        }
    }

    @Test("are written, all bits or some, and read before and afterwards")
    func writing() throws {
        let registers = try Self.registers()
        let command = try RegisterPlace("config:COMMAND")
        let change = try registers.write(0x6, to: command, RegisterWriting(mask: 0x4))
        #expect(change.before?.values == [0x2] && change.written == 0x6 && change.after?.values == [0x6])
        #expect(change.after?.decoded?["Bus Master"]?.value == 1)
        let pretended = try registers.write(0, to: command, RegisterWriting(isPretended: true))
        #expect(!pretended.isDone && pretended.after == nil)
        #expect(try registers.read(command).values == [0x6])
        let wide = Self.refusal { _ = try registers.write(0x10000, to: command) }
        #expect(wide?.code == .outOfBounds)
        // The host programs the table of messages.
        let table = try RegisterPlace("bar0:0x2000")
        #expect(Self.refusal { _ = try registers.write(1, to: table) }?.code == .notSupported)
    }

    @Test("that can be written only aren't read unless that is asked for, and take no mask")
    func doorbells() throws {
        let registers = try Self.registers()
        let doorbell = try RegisterPlace("bar0:CQ1HDBL")
        let change = try registers.write(1, to: doorbell)
        #expect(
            change.offset == 0x100c && change.before == nil && change.after == nil && change.unread != nil)
        let byOffset = try registers.write(1, to: try RegisterPlace("bar0:0x100c"))
        #expect(byOffset.unread != nil && byOffset.register?.name == "CQ1HDBL")
        #expect(try registers.write(1, to: doorbell, RegisterWriting(readsAll: true)).after != nil)
        let masked = Self.refusal { _ = try registers.write(1, to: doorbell, RegisterWriting(mask: 1)) }
        #expect(masked?.code == .notSupported)
        for name in ["SQ65536TDBL", "SQTDBL", "SQ-1TDBL", "SQ0HDBL"] {
            let place = try RegisterPlace("bar0:\(name)")
            #expect(Self.refusal { _ = try registers.read(place) }?.code == .notSupported, "\(name)")
        }
    }

    @Test("of a device that doesn't answer read all ones, and that is known of the whole device")
    func gone() throws {
        let host = try SoftwareHost(
            MachineDescription { IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") } })
        let registers = try DeviceRegisters(of: try #require(DeviceID("02:00.0")), on: host, roots: nil)
        // This device answers all ones to what isn't four bytes long.
        let short = try registers.read(try RegisterPlace("bar0:0"), width: 2)
        #expect(short.isAllOnes && !short.isCertainlyGone)
        #expect(try registers.read(try RegisterPlace("bar0:0")).isAllOnes == false)
    }
}
