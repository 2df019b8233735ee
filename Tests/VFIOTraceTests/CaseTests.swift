import Foundation
import LinuxSystem
import SoftwareHost
import Testing
import VFIOConformance
import VFIOHost

@testable import VFIOTrace

@Suite("Cases made from traces")
struct CaseTests {
    /// A case of the NVMe driver at work, by way of its file.
    private func recorded() throws -> RecordedCase {
        let file = TemporaryTrace()
        try drive(TracingHost(try machine(), writingTo: try TraceWriter(creating: file.path)))
        let one = RecordedCase("the driver at work", from: try Trace(file.path))
        #expect(one.omissions == [])
        #expect(one.steps.count > 30)
        let text = try JSONEncoder().encode(one)
        return try JSONDecoder().decode(RecordedCase.self, from: text)
    }

    @Test("the same machine answers a case as it did, though every handle and address is another one")
    func same() throws {
        let one = try recorded()
        let host = try machine()
        // Other numbers for handles, and other ids.
        let others = try (0..<5).map { _ in try host.open(.iommu) }
        defer { for other in others { host.close(other) } }
        let result = one.replay(on: host)
        #expect(
            result.status == .equal,
            "\(result.note ?? ""): \(result.observations.last.map { "\($0.label): \($0.got), not \($0.wanted ?? "")" } ?? "")"
        )
        #expect(result.observations.count == one.steps.count)
        #expect(host.lockedByteCount == 0)
    }

    @Test(
        "a fault shows as the first difference",
        arguments: [
            ("ioas-map=ENOMEM@2", "IOMMU_IOAS_MAP", "ENOMEM"),
            ("set-irqs=EINVAL", "DEVICE_SET_IRQS", "EINVAL"),
            ("open:node=/dev/iommu=EACCES", "open /dev/iommu", "EACCES"),
        ])
    func fault(_ text: String, _ label: String, _ answer: String) throws {
        let one = try recorded()
        let result = one.replay(on: try machine(FaultRule(text)))
        #expect(result.status == .different)
        let last = try #require(result.observations.last)
        #expect(last.label.hasPrefix(label), "\(last.label)")
        #expect(last.got == answer)
        #expect(result.observations.dropLast().allSatisfy { $0.isAsWanted })
        #expect(result.note?.hasPrefix("the first difference is in step ") == true)
    }

    @Test("a machine without the device, and a register that is something else, are differences")
    func otherMachine() throws {
        var one = try recorded()
        let empty = one.replay(on: try SoftwareHost(MachineDescription {}))
        #expect(empty.status == .different)
        let place = try #require(one.steps.firstIndex { $0.label.contains(" VS: ") })
        one.steps[place].data = "00000300"
        let result = one.replay(on: try machine())
        #expect(result.status == .different)
        #expect(result.observations.last?.wanted == "0x30000")
    }

    @Test("a case that is wrong in any way ends with a reason")
    func damaged() throws {
        let one = try recorded()
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        var random = SplitMix(state: seed)
        let numbers = [-1, 0, 1, 3, 1 << 20, .max, .min]
        for round in 0..<60 {
            var wrong = one
            let place = Int.random(in: 0..<wrong.steps.count, using: &random)
            let number = numbers.randomElement(using: &random) ?? 0
            switch Int.random(in: 0..<7, using: &random) {
            case 0: wrong.steps[place].before = "0g"
            case 1: wrong.steps[place].handle = number
            case 2: wrong.steps[place].byteCount = number
            case 3: wrong.steps[place].before = wrong.steps[place].before.map { String($0.prefix(8)) }
            case 4:
                for index in wrong.steps[place].inputs.indices {
                    wrong.steps[place].inputs[index].offset = number
                    wrong.steps[place].inputs[index].name = number
                }
            case 5: wrong.steps[place].outputs = wrong.steps.flatMap(\.inputs)
            default: if !wrong.areas.isEmpty { wrong.areas[0].byteCount = number }
            }
            let result = wrong.replay(on: try machine())
            #expect(
                result.status == .equal || result.note != nil,
                "seed \(seed), round \(round): \(result.status)")
        }
    }
}
