import NVMe
import Testing

@Suite("The layouts of NVMe's structures")
struct LayoutTests {
    @Test("A submission entry has the specification's 64 bytes")
    func submissionEntry() {
        #expect(MemoryLayout<SubmissionEntry>.size == 64)
        #expect(MemoryLayout<SubmissionEntry>.stride == 64)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.opcode) == 0)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.flags) == 1)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.commandID) == 2)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.namespaceID) == 4)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.dword2) == 8)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.dword3) == 12)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.metadataPointer) == 16)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.prp1) == 24)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.prp2) == 32)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.dword10) == 40)
        #expect(MemoryLayout<SubmissionEntry>.offset(of: \.dword15) == 60)
    }

    @Test("A completion entry has the specification's 16 bytes")
    func completionEntry() {
        #expect(MemoryLayout<CompletionEntry>.size == 16)
        #expect(MemoryLayout<CompletionEntry>.stride == 16)
        #expect(MemoryLayout<CompletionEntry>.offset(of: \.result) == 0)
        #expect(MemoryLayout<CompletionEntry>.offset(of: \.result1) == 4)
        #expect(MemoryLayout<CompletionEntry>.offset(of: \.submissionQueueHead) == 8)
        #expect(MemoryLayout<CompletionEntry>.offset(of: \.submissionQueueID) == 10)
        #expect(MemoryLayout<CompletionEntry>.offset(of: \.commandID) == 12)
        #expect(MemoryLayout<CompletionEntry>.offset(of: \.statusAndPhase) == CompletionEntry.statusOffset)
    }

    @Test("SGL descriptors and dataset ranges have 16 bytes each")
    func smallStructures() {
        #expect(MemoryLayout<SGLDescriptor>.stride == SGLDescriptor.size)
        #expect(MemoryLayout<SGLDescriptor>.offset(of: \.length) == 8)
        #expect(MemoryLayout<SGLDescriptor>.offset(of: \.identifier) == 15)
        #expect(MemoryLayout<DatasetRange>.stride == DatasetRange.size)
        #expect(MemoryLayout<DatasetRange>.offset(of: \.blocks) == 4)
        #expect(MemoryLayout<DatasetRange>.offset(of: \.startingBlock) == 8)
    }

    @Test("An SGL descriptor in a command's data pointer keeps all its bits")
    func sglInDataPointer() {
        var entry = SubmissionEntry(io: .read, namespaceID: 1)
        var descriptor = SGLDescriptor(.lastSegment, address: 0x1122_3344_5566_7788, length: 0x99aa_bbcc)
        descriptor.reserved1 = 0x42
        entry.sgl = descriptor
        #expect(entry.prp1 == 0x1122_3344_5566_7788)
        #expect(entry.prp2 == 0x3000_4200_99aa_bbcc)
        #expect(entry.flags == 0x40)
        #expect(entry.sgl == descriptor)
        #expect(entry.sgl.kind == .lastSegment)
        entry.setPRP(0x1000)
        #expect(entry.dataPointerKind == .prp)
    }

    @Test("Read, write zeroes and dataset management put their fields where the specification has them")
    func ioCommands() {
        let read = SubmissionEntry.read(
            namespaceID: 7, startingBlock: 0x1_2345_6789, blocks: 65536, forceUnitAccess: true)
        #expect(read.opcode == 2 && read.namespaceID == 7)
        #expect(read.dword10 == 0x2345_6789 && read.dword11 == 1 && read.dword12 == 0x4000_ffff)
        #expect(read.startingBlock == 0x1_2345_6789 && read.blockCount == 65536 && read.forceUnitAccess)
        #expect(read.dataDirection == .controllerToHost)
        let zeroes = SubmissionEntry.writeZeroes(
            namespaceID: 1, startingBlock: 8, blocks: 8, deallocates: true)
        #expect(zeroes.opcode == 8 && zeroes.dword12 == 0x0200_0007 && zeroes.writeZeroesDeallocates)
        let trim = SubmissionEntry.datasetManagement(namespaceID: 1, ranges: 256)
        #expect(trim.dword10 == 0xff && trim.dword11 == 4 && trim.datasetRangeCount == 256)
        #expect(trim.dataDirection == .hostToController)
    }

    @Test("Admin commands put their fields where the specification has them")
    func adminCommands() {
        let completion = SubmissionEntry.createCompletionQueue(3, entries: 1024, address: 0x8000, vector: 5)
        #expect(completion.opcode == 5 && completion.prp1 == 0x8000)
        #expect(completion.dword10 == 0x03ff_0003 && completion.dword11 == 0x0005_0003)
        let submission = SubmissionEntry.createSubmissionQueue(
            4, entries: 65536, address: 0, completionQueueID: 3, priority: 2)
        #expect(
            submission.opcode == 1 && submission.dword10 == 0xffff_0004 && submission.dword11 == 0x0003_0005)
        let log = SubmissionEntry.getLogPage(
            .commandEffects, byteCount: 0x80000, offset: 0x1_0000_0004, retainsEvent: true)
        #expect(log.dword10 == 0xffff_8005 && log.dword11 == 1 && log.dword12 == 4 && log.dword13 == 1)
        #expect(log.logByteCount == 0x80000 && log.logOffset == 0x1_0000_0004 && log.logRetainsEvent)
        let identify = SubmissionEntry.identify(
            .controllers, namespaceID: 1, controllerID: 9, commandSet: .zoned)
        #expect(identify.dword10 == 0x0009_0013 && identify.dword11 == 0x0200_0000)
        let get = SubmissionEntry.getFeatures(.numberOfQueues, select: .capabilities)
        #expect(get.dword10 == 0x307 && get.featureSelect == .capabilities)
        let abort = SubmissionEntry.abort(commandID: 0xabcd, submissionQueueID: 2)
        #expect(abort.dword10 == 0xabcd_0002 && abort.abortCommandID == 0xabcd)
    }

    @Test("A completion's status and phase share a half-word")
    func completionStatus() {
        var entry = CompletionEntry(status: .lbaOutOfRange.final, phase: true)
        #expect(entry.statusAndPhase == 0x8101)
        #expect(entry.status == .lbaOutOfRange && entry.status.doNotRetry && entry.phase)
        entry.phase = false
        entry.status = Status(.media, 0x81)
        #expect(entry.statusAndPhase == 0x0502)
    }
}
