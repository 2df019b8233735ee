/// The general registers of an arm64 thread.
public struct ARM64Registers: Sendable {
    /// `x0` to `x30`.
    public var general: InlineArray<31, UInt64>
    /// `sp`
    public var stackPointer: UInt64
    /// `pc`: the instruction that is carried out next.
    public var instructionPointer: UInt64

    /// A register file.
    public init(
        general: InlineArray<31, UInt64> = InlineArray(repeating: 0), stackPointer: UInt64 = 0,
        instructionPointer: UInt64 = 0
    ) {
        self.general = general
        self.stackPointer = stackPointer
        self.instructionPointer = instructionPointer
    }

    /// Number 31 is zero.
    func read(_ number: Int) -> UInt64 { number == 31 ? 0 : general[number] }

    /// What is written to number 31 is lost.
    mutating func write(_ number: Int, _ value: UInt64) { if number != 31 { general[number] = value } }

    /// The register of an address, where number 31 is the stack pointer.
    func readBase(_ number: Int) -> UInt64 { number == 31 ? stackPointer : general[number] }

    mutating func writeBase(_ number: Int, _ value: UInt64) {
        if number == 31 { stackPointer = value } else { general[number] = value }
    }
}
