import JSONText
import NVMe
import PCIDecoder
import Testing
import VFIOABI

@Suite("The pages about words")
struct WordsPages {
    /// How many ranges of addresses a type 1 IOMMU says can be mapped.
    func rangeCount(in answer: RawSpan) throws(CapabilityChainError) -> Int {
        let least = IOMMUType1Info.minimumSize
        guard let info = IOMMUType1Info(prefixOf: answer, minimumSize: least) else {
            return 0
        }
        var chain = CapabilityChain(of: info, in: answer)
        let wanted = IOMMUCapabilityID.iovaRange.rawValue
        guard let capability = try chain.next(id: wanted) else { return 0 }
        return try capability.iovaRanges().count
    }

    @Test("take an answer apart, and are not led astray by a bad one")
    func abi() throws {
        var builder = CapabilityBuilder<IOMMUType1Info>()
        let ranges = [
            Type1IOVARange(start: 0, end: 0xfedf_ffff), Type1IOVARange(start: 0xfef0_0000, end: .max),
        ]
        try builder.appendIOVARanges(ranges.span)
        var answer = try #require(builder.answer(IOMMUType1Info(argsz: 4096)))
        #expect(try rangeCount(in: answer.span.bytes) == 2)
        let short = Array(answer.prefix(8))
        #expect(try rangeCount(in: short.span.bytes) == 0)
        // A `next` that leads back.
        let start = MemoryLayout<IOMMUType1Info>.size
        answer[start + 4] = UInt8(start)
        answer[start] = 0xff
        #expect(throws: CapabilityChainError.self) { try rangeCount(in: answer.span.bytes) }
    }
    /// What a device answers to `VFIO_DEVICE_GET_INFO`, as a kernel writes it.
    func answer(regions: UInt32, interrupts: UInt32) -> [UInt8] {
        var info = DeviceInfo(
            flags: [.pci, .reset], regionCount: regions, irqCount: interrupts)
        info.argsz = UInt32(MemoryLayout<DeviceInfo>.size)
        var bytes = [UInt8](repeating: 0, count: MemoryLayout<DeviceInfo>.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        return info.write(to: &raw) ? bytes : []
    }

    @Test("a structure is its bytes")
    func structure() {
        let bytes = answer(regions: 9, interrupts: 5)
        #expect(bytes.count == 24 && bytes[0] == 24 && bytes[4] == 3 && bytes[8] == 9 && bytes[12] == 5)
        #expect(DeviceInfo(bytes.span.bytes)?.flags == [.pci, .reset])
    }

    @Test("NVMe's words make a command and read its completion")
    func nvme() {
        let command = SubmissionEntry.read(namespaceID: 1, startingBlock: 4096, blocks: 8)
        let completion = CompletionEntry(commandID: 7, status: .success, phase: true)
        print(command.startingBlock, command.blockCount, completion.status)
        #expect(command.startingBlock == 4096 && command.blockCount == 8)
        #expect(completion.status.isSuccess)
    }

    @Test("JSON is read within limits and written in order")
    func json() throws {
        let text = #"{"model": "nvme", "image": "disk.img"}"#
        let json = try JSON(Array(text.utf8), maximumDepth: 2)
        if case .string(let model)? = json["model"] { print(model) }
        print(json.text)
        #expect(json.text == #"{"model":"nvme","image":"disk.img"}"#)
    }

    @Test("configuration space comes in named fields")
    func decoder() {
        var bytes = [UInt8](repeating: 0, count: 256)
        bytes.replaceSubrange(0..<4, with: [0x86, 0x80, 0xd3, 0x10])
        bytes[11] = 2
        let space = DecodedConfiguration(decoding: bytes)
        for register in space.header {
            print(register.offset, register.name, register.summary)
        }
        for capability in space.capabilities {
            print(capability.offset, capability.name)
        }
        print(PCIClass.name(0x02_0000), space.problems.count)
        #expect(space.register(at: 0)?.value == 0x8086)
        #expect(PCIClass.name(0x02_0000).contains("thernet"))
    }
}
