import NVMe
import Testing

@Suite("The words of NVMe")
struct WordsTests {
    @Test("Doorbells lie where the stride puts them, and nothing lies between them")
    func doorbells() {
        let packed = Doorbell(stride: 0)
        #expect(packed.submissionTail(of: 0) == 0x1000 && packed.completionHead(of: 0) == 0x1004)
        #expect(packed.submissionTail(of: 3) == 0x1018)
        #expect(packed.target(at: 0x101c) == .completionHead(3))
        #expect(packed.target(at: 0x1002) == nil)
        #expect(packed.target(at: 0xffc) == nil)
        let wide = Doorbell(stride: 4)
        #expect(wide.submissionTail(of: 1) == 0x1080)
        #expect(wide.target(at: 0x1004) == nil)
        #expect(packed.target(at: .max - 3) == nil)
    }

    @Test("CAP's fields are told apart")
    func capabilities() {
        var capabilities = ControllerCapabilities(rawValue: 0)
        capabilities.maximumQueueEntriesZeroBased = 1023
        capabilities.requiresContiguousQueues = true
        capabilities.timeout = 20
        capabilities.commandSets = 1
        capabilities.maximumPageSizeExponent = 4
        #expect(capabilities.rawValue == 0x0040_0020_1401_03ff)
        #expect(capabilities.maximumPageSize == 65536 && capabilities.minimumPageSize == 4096)
        #expect(capabilities.timeoutMilliseconds == 10_000 && capabilities.supportsNVMCommandSet)
    }

    @Test("CC and CSTS keep each field to its bits")
    func control() {
        var configuration = ControllerConfiguration(rawValue: 0)
        configuration.isEnabled = true
        configuration.submissionEntrySizeExponent = 6
        configuration.completionEntrySizeExponent = 4
        #expect(configuration.rawValue == 0x0046_0001)
        configuration.shutdownNotification = .normal
        #expect(configuration.rawValue == 0x0046_4001)
        var status = ControllerStatus(rawValue: 0)
        status.isReady = true
        status.shutdown = .complete
        #expect(status.rawValue == 9)
        #expect(AdminQueueAttributes(submissionEntries: 32, completionEntries: 64).rawValue == 0x003f_001f)
        #expect(Version.v1_4.rawValue == 0x10400 && Version.v1_4.description == "1.4.0")
    }

    @Test("Every status has its own number, a name and a meaning")
    func statuses() {
        var names: Set<String> = []
        var known = 0
        for kind in 0..<4 as Range<UInt16> {
            for code in 0..<256 as Range<UInt16> {
                let status = Status(rawValue: kind << 8 | code)
                #expect((status.name == nil) == (status.meaning == nil))
                guard let name = status.name else { continue }
                known += 1
                names.insert(name)
            }
        }
        // 46 generic, 57 command specific, 9 of the medium, 7 of the path.
        #expect(known == 119 && names.count == known)
        #expect(Status.success.isSuccess && !Status.invalidOpcode.isSuccess)
        #expect(Status.invalidQueueID.rawValue == 0x101)
        #expect(Status.abortedByHost.rawValue == 0x371)
        #expect(Status.compareFailure.name == "Compare Failure")
        #expect(Status(rawValue: 0x7abc & 0x7ff | 0x700).description == "status type 7, code 188")
        #expect(
            Status.lbaOutOfRange.description
                == "LBA Out of Range (the command reaches past the end of the namespace)")
    }

    @Test("A transfer takes as many PRP entries as it touches pages")
    func prp() {
        let rules = PRPRules(pageSizeExponent: 0)
        #expect(rules.pieceCount(at: 0x1000, length: 4096) == 1)
        #expect(rules.pieceCount(at: 0x1004, length: 4096) == 2)
        #expect(rules.pieceCount(at: 0x1ffc, length: 4 + 4096 + 1) == 3)
        #expect(rules.pieceCount(at: 0x1000, length: 0) == 0)
        #expect(rules.listEntryCount(at: 0x1000, length: 8192) == 0)
        #expect(rules.listEntryCount(at: 0x1000, length: 8193) == 2)
        #expect(rules.listPageCount(entries: 512) == 1)
        #expect(rules.listPageCount(entries: 513) == 2)
        #expect(rules.listPageCount(entries: 511 + 512) == 2)
        #expect(rules.listPageCount(entries: 511 + 513) == 3)
        #expect(!rules.isValidFirst(0x1002) && rules.isValidFirst(0x1004))
        #expect(!rules.isValidFurther(0x1004) && rules.isValidFurther(0x2000))
    }

    @Test("An event's three parts come out of its result")
    func events() {
        let event = AsynchronousEvent.invalidDoorbellValue
        #expect(event.rawValue == 0x01_0100)
        #expect(event.kind == .error && event.information == 1 && event.logPage == .error)
        #expect(QueueCounts(submission: 4, completion: 8).rawValue == 0x0007_0003)
    }
}
