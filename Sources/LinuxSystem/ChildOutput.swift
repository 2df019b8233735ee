import CLinux

extension ChildProcess {
    /// Runs a program found in `PATH` and reads what it prints, on both of its output streams. Its input is
    /// `/dev/null`.
    ///
    /// A program that prints more than the limit, or takes longer, is ended, with all that it started.
    /// - Parameters:
    ///   - byteLimit: the most that is read; the rest is left out.
    ///   - milliseconds: how long it may take.
    /// - Returns: what it printed, whatever it ended with.
    /// - Throws: `ENOENT` if there is no such program, `ETIMEDOUT` if it took too long.
    public static func output(
        of program: String, _ arguments: [String], byteLimit: Int, milliseconds: Int
    ) throws(Errno) -> [UInt8] {
        let words = CStrings([program] + arguments)
        var number: Int32 = -1
        // SAFETY: the list ends with nil and lives through the call; the number is a local variable.
        let child = Int32(
            truncatingIfNeeded: try checked(retrying: false) {
                unsafe clinux_start_reading(words.list, &number)
            })
        _ = consume words
        let pipe = Descriptor(owning: number)
        let start = clinux_monotonic_nanoseconds()
        func left() -> Int {
            max(0, milliseconds - Int((clinux_monotonic_nanoseconds() &- start) / 1_000_000))
        }
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        var isLate = false
        while output.count < byteLimit {
            // A signal ends a wait early.
            if clinux_poll_one(pipe.number, Int16(POLLIN), Int32(clamping: left())) <= 0 {
                isLate = left() == 0
                if isLate { break }
                continue
            }
            var span = chunk.mutableSpan
            // SAFETY: the array holds plain bytes: any value written into it is one of its own.
            var raw = unsafe span.mutableBytes
            guard let count = try? Descriptor.read(pipe.number, into: &raw), count > 0 else { break }
            output.append(contentsOf: chunk[..<min(count, byteLimit - output.count)])
        }
        if clinux_end_child(child, Int32(clamping: output.count < byteLimit && !isLate ? left() : 0)) != 0
            && output.count < byteLimit
        {
            isLate = true
        }
        if isLate { throw .timedOut }
        return output
    }
}
