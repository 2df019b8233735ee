import LinuxSystem
import SoftwareHost
import Testing
import VFIOABI
import VFIOHost

@Suite("The text of a fault")
struct FaultTextTests {
    private static let first = PCIAddress(bus: 1, device: 0, function: 0)

    @Test(
        "says what goes wrong, where and when",
        arguments: [
            ("map-dma:3=ENOMEM", FaultRule(.request(.iommuMapDMA, .noMemory), on: Self.containers, .nth(3))),
            ("map-dma=ENOMEM@3", FaultRule(.request(.iommuMapDMA, .noMemory), on: Self.containers, .nth(3))),
            ("request=EIO@2+", FaultRule(.request(nil, .inputOutput), .from(2))),
            (
                "request:on=group:on=device=EBUSY",
                FaultRule(.request(nil, .busy), on: FaultScope(files: [.groups, .devices]))
            ),
            (
                "request:number=15211:on=group=errno=95",
                FaultRule(.request(.getAPIVersion, Errno(rawValue: 95)), on: FaultScope(files: .groups))
                    .withNumber(15211)
            ),
            (
                "set-irqs:0000:01:00.0=ENOSPC@/4",
                FaultRule(
                    .request(.deviceSetIRQs, .noSpace), on: FaultScope(files: .devices, device: Self.first),
                    .every(4))
            ),
            ("open=EMFILE@10%", FaultRule(.open(nil, .tooManyDescriptors), .chance(perMillion: 100_000))),
            ("open:node=/dev/vfio/26=EACCES", FaultRule(.open(.group(26), .accessDenied))),
            ("read=EIO", FaultRule(.read(.inputOutput))),
            ("write:0000:01:00.0=EIO", FaultRule(.write(.inputOutput), on: .device(Self.first))),
            (
                "read:platform/fff51000.ethernet=EIO@2",
                FaultRule(
                    .read(.inputOutput), on: .device(DeviceID(.platform, "fff51000.ethernet")!), .nth(2))
            ),
            (
                "device:83b8f4f2-509f-382f-3c1e-e6bfe0fa1001=vanish@1000",
                FaultRule(
                    .device(.vanished), on: .device(DeviceID("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001")!),
                    .nth(1000))
            ),
            ("map=ENOMEM", FaultRule(.map(.noMemory))),
            ("pin:after=16=EFAULT", FaultRule(.pin(afterPages: 16, .badAddress))),
            ("dma-read=refuse", FaultRule(.dmaRead)),
            ("dma-write=drop@7", FaultRule(.dmaWrite(byteCount: nil, .dropped), .nth(7))),
            ("dma-write=refuse", FaultRule(.dmaWrite(byteCount: nil, .refused))),
            (
                "dma-write:length=16=flip@0.5",
                FaultRule(
                    .dmaWrite(byteCount: 16, .flipped(byte: nil, bits: nil)), .chance(perMillion: 500_000))
            ),
            (
                "dma-write:length=16=flip:byte=14:bits=0x02@/100",
                FaultRule(.dmaWrite(byteCount: 16, .flipped(byte: 14, bits: 2)), .every(100))
            ),
            (
                "irq:0000:01:00.0:drop=0.1",
                FaultRule(
                    .interrupt(vector: nil, .dropped), on: .device(Self.first), .chance(perMillion: 100_000))
            ),
            (
                "irq:vector=2=delay=5ms",
                FaultRule(.interrupt(vector: 2, .delayed(milliseconds: 5)))
            ),
            ("irq=delay=2s@1", FaultRule(.interrupt(vector: nil, .delayed(milliseconds: 2000)), .nth(1))),
            (
                "device:0000:01:00.0:vanish@1000",
                FaultRule(.device(.vanished), on: .device(Self.first), .nth(1000))
            ),
            ("device:01:00.0=silent", FaultRule(.device(.silent), on: .device(Self.first))),
        ])
    func reading(text: String, rule: FaultRule) throws {
        #expect(try FaultRule(text) == rule)
        #expect(try FaultRule(rule.description) == rule, "\(rule.description)")
    }

    private static let containers = FaultScope(files: [.containers, .iommufds])

    @Test(
        "that can't be is refused, and the reason is told",
        arguments: [
            ("", "is empty"), ("mop-dma=EIO", "isn't an event"), ("map-dma", "with an errno"),
            ("map-dma=EWHAT", "\"EWHAT\" isn't known"), ("map-dma=EIO=EIO", "two effects"),
            ("map-dma=EIO@0", "counted from 1"), ("map-dma=EIO@1@2", "two moments"),
            ("map-dma=EIO@120%", "more than certain"), ("map-dma=EIO@1.2.3", "no chance"),
            ("map-dma=EIO@99999999999999999999", "counted from 1"), ("map-dma=drop", "with an errno"),
            ("map-dma:0000:01:00.0=EIO", "isn't about one device"),
            ("pin:0000:01:00.0=EIO", "isn't about one device"), ("pin:after=EIO", "needs a number"),
            ("pin:after=99999999999=EIO", "needs a number up to"), ("pin:after", "needs a value"),
            ("read:after=3=EIO", "\"after\" is for \"pin\""),
            ("read:node=/dev/vfio/1=EIO", "is for \"open\""),
            ("open:node=/dev/null=EIO", "isn't a node's path"), ("irq=flip", "drop or delay"),
            ("irq=delay=5", "no delay"), ("irq=delay=5h", "no delay"), ("irq=delay=99999s", "no delay"),
            ("irq=drop=delay=1ms", "two effects"), ("irq=drop:EIO", "two effects"),
            ("irq:vector=9999=drop", "up to 2047"), ("dma-read=drop", "refuse"),
            ("dma-write=vanish", "refuse, drop or flip"), ("dma-write:byte=1=drop", "are for \"flip\""),
            ("dma-write=flip:bits=256", "up to 255"), ("device=drop", "vanish or silent"),
            ("device:0000:01:00.0:0000:02:00.0=vanish", "two devices"),
            ("device:0000:01:20.0=vanish", "no moment"), ("request:on=door=EIO", "needs container"),
            ("read:on=group=EIO", "\"on\" is for requests"), ("read:number=1=EIO", "\"number\" is for"),
            ("irq:length=2=drop", "\"length\" is for"), ("read:vector=2=EIO", "\"vector\" is for"),
        ])
    func refusing(text: String, reason: String) {
        do throws(FaultTextError) {
            let rule = try FaultRule(text)
            Issue.record("\(text) was read as \(rule)")
        } catch {
            #expect(error.description.contains(reason), "\(text): \(error)")
            #expect(error.description.contains(text))
        }
    }

    @Test("may be any bytes: nothing traps")
    func anything() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("texts of faults: seed \(seed)")
        var random = SplitMix(state: seed)
        let words = [
            "map-dma", "irq", "dma-write", "device", "pin", "open", ":", "=", "@", "0000:01:00.0", "3", "3+",
            "/3", "10%", "0.1", "after", "length", "flip", "drop", "delay", "5ms", "EIO", "%", "+", "/", ".",
            "node", "/dev/vfio/26", "on", "\u{fe}", "18446744073709551616", "0x", "number", "errno", "",
        ]
        var good = 0
        for _ in 0..<20_000 {
            var text = ""
            for _ in 0..<Int.random(in: 0...9, using: &random) {
                text += words.randomElement(using: &random) ?? ""
                if Bool.random(using: &random) { text += ":" }
            }
            guard let rule = try? FaultRule(text) else { continue }
            good += 1
            #expect(try FaultRule(rule.description) == rule, "\(text)")
        }
        #expect(good > 0)
    }
}

extension FaultRule {
    /// The same about a request by its number.
    fileprivate func withNumber(_ number: UInt) -> FaultRule {
        guard case .request(_, let errno) = fault else { return self }
        return FaultRule(.request(Request(rawValue: number), errno), on: scope, moment)
    }
}
