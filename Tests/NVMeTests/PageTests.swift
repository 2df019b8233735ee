import NVMe
import Testing

@Suite("NVMe's large structures")
struct PageTests {
    @Test("Identify Controller's fields lie at the specification's offsets")
    func controller() {
        var page = IdentifyController()
        page.vendorID = 0x1b36
        page.serialNumber = "S1"
        page.organization = 0x0a_0b0c
        page.maximumTransferExponent = 7
        page.version = .v1_4
        page.optionalAdminCommands = 0x106
        page.abortLimitZeroBased = 3
        page.firmwareUpdates = 0x03
        page.totalCapacity = 1 << 100
        page.submissionEntrySize = 0x66
        page.namespaceCount = 1
        page.optionalIOCommands = 0x0c
        page.volatileWriteCache = 7
        page.sglSupport = 1
        page.subsystemName = "nqn.2014-08.org.nvmexpress:uuid:x"
        let bytes = page.bytes.array
        #expect(bytes.count == 4096)
        #expect(bytes[0] == 0x36 && bytes[1] == 0x1b)
        #expect(bytes[4..<24].elementsEqual([0x53, 0x31] + [UInt8](repeating: 0x20, count: 18)))
        #expect(bytes[73..<76].elementsEqual([0x0c, 0x0b, 0x0a]))
        #expect(bytes[77] == 7 && bytes[80..<84].elementsEqual([0, 4, 1, 0]))
        #expect(bytes[256] == 6 && bytes[257] == 1 && bytes[258] == 3)
        #expect(bytes[292] == 0x10)
        #expect(bytes[512] == 0x66 && bytes[516] == 1 && bytes[520] == 0x0c && bytes[525] == 7)
        #expect(bytes[536] == 1 && bytes[768] == 0x6e)
        #expect(page.serialNumber == "S1" && page.organization == 0x0a_0b0c)
        #expect(page.abortLimit == 4 && page.firmwareSlots == 1)
        #expect(page.maximumTransferBytes(minimumPageSize: 4096) == 512 << 10)
        #expect(page.supportsFirmware && page.supportsDoorbellBuffer && !page.supportsSecurity)
        #expect(page.supportsDatasetManagement && page.supportsWriteZeroes && !page.supportsCompare)
        #expect(page.hasVolatileWriteCache && page.flushTakesAllNamespaces && page.sglAlignment == .any)
        #expect(page.subsystemName == "nqn.2014-08.org.nvmexpress:uuid:x")
    }

    @Test("Identify Namespace tells the format in use, and none where its index points nowhere")
    func namespace() {
        var page = IdentifyNamespace()
        #expect(!page.isActive)
        page.size = 0x100
        page.formatCountZeroBased = 1
        page.setFormat(0, LBAFormat(dataExponent: 9))
        page.setFormat(1, LBAFormat(dataExponent: 12, metadataSize: 8, relativePerformance: 1))
        page.formattedSize = 1
        #expect(page.bytes.array[134] == 12 && page.bytes.array[132] == 8)
        #expect(page.currentFormat?.blockSize == 4096 && page.currentFormat?.metadataSize == 8)
        page.formattedSize = 2
        #expect(page.currentFormat == nil)
        #expect(LBAFormat(dataExponent: 63).blockSize == nil)
        page.extendedUniqueID = [1, 2, 3, 4, 5, 6, 7, 8]
        #expect(page.bytes.array[120..<128].elementsEqual([1, 2, 3, 4, 5, 6, 7, 8]))
    }

    @Test("Lists come back as they were written, and end where the specification says")
    func lists() {
        #expect(NamespaceList([1, 5, 9] as [UInt32]).identifiers == [1, 5, 9])
        #expect(NamespaceList((1...2000) as ClosedRange<UInt32>).identifiers.count == 1024)
        #expect(ControllerList([0, 3] as [UInt16]).identifiers == [0, 3])
        var wild = ControllerList([] as [UInt16])
        wild.bytes.store(UInt16(0xffff), 0)
        #expect(wild.identifiers.count == 2047)
        let descriptors: [NamespaceDescriptors.Descriptor] = [
            .init(.eui64, [1, 2, 3, 4, 5, 6, 7, 8]), .init(.commandSet, [0]),
        ]
        let page = NamespaceDescriptors(descriptors)
        #expect(page.bytes.array[0..<5].elementsEqual([1, 8, 0, 0, 1]))
        #expect(page.descriptors == descriptors)
        var endless = NamespaceDescriptors([])
        for offset in stride(from: 0, to: 4096, by: 1) { endless.bytes.store(UInt8(0xff), offset) }
        #expect(endless.descriptors.count == 15)
    }

    @Test("SMART, error and firmware logs have their fields at the specification's offsets")
    func logs() {
        var smart = SMARTLog()
        smart.temperature = 310
        smart.hostWrites = 5
        smart.errorLogEntries = 3
        #expect(smart.bytes.array[1] == 0x36 && smart.bytes.array[2] == 1)
        #expect(smart.bytes.array[80] == 5 && smart.bytes.array[176] == 3 && smart.bytes.count == 512)
        var error = ErrorLogEntry()
        error.errorCount = 9
        error.status = .invalidField
        error.namespaceID = 1
        #expect(error.bytes.array[0] == 9 && error.bytes.array[12] == 4 && error.bytes.array[24] == 1)
        var firmware = FirmwareSlotLog()
        firmware.activeInformation = 1
        firmware.setRevision("1.0", slot: 1)
        #expect(firmware.activeSlot == 1 && firmware.revision(slot: 1) == "1.0")
        #expect(firmware.bytes.array[8] == 0x31 && firmware.revision(slot: 2) == "")
        var effects = CommandEffectsLog()
        effects[admin: .formatNVM] = [.supported, .changesBlocks]
        effects[io: .write] = [.supported, .changesBlocks]
        #expect(effects.bytes.array[4 * 0x80] == 3 && effects.bytes.array[1024 + 4] == 3)
    }

    @Test("A structure isn't made from too few bytes, and places outside of it read as zero")
    func bounds() {
        #expect(IdentifyController([UInt8](repeating: 0, count: 4095)) == nil)
        let short: [UInt8] = [1, 2, 3]
        #expect(SMARTLog(copying: short.span.bytes) == nil)
        var bytes = PageBytes(short)
        #expect(bytes.load(0, as: UInt32.self) == 0)
        #expect(bytes.load(1, as: UInt16.self) == 0x0302)
        #expect(bytes.load(-1, as: UInt8.self) == 0)
        #expect(bytes.load(.max, as: UInt8.self) == 0)
        bytes.store(UInt16(7), 2)
        #expect(bytes.array == short)
    }

    @Test("Text of a device can't carry control characters")
    func text() {
        var page = IdentifyController()
        page.bytes.store([0x41, 0x1b, 0x5b, 0xc3], at: 24)
        #expect(page.modelNumber == "A?[?")
    }
}
