import LinuxSystem
import Testing

@Suite("Arrays are sorted in little code")
struct CompactSortTests {
    @Test("as the standard library sorts them, whatever was there before")
    func sameAsStandard() {
        let seed = UInt64.random(in: .min ... .max)
        var state = seed
        func next(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        for _ in 0..<500 {
            let numbers = (0..<next(70)).map { _ in next(40) }
            #expect(numbers.sortedCompactly(by: <) == numbers.sorted(), "seed \(seed)")
            #expect(numbers.sortedCompactly(by: >) == numbers.sorted(by: >), "seed \(seed)")
        }
        #expect((0..<1000).map { $0 }.sortedCompactly(by: <) == (0..<1000).map { $0 })
    }
}
