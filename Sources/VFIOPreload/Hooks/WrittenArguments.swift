import CLinux
import LinuxSystem

// Functions that take the arguments of a program one by one, with nil behind the last. Swift has no functions with any
// number of arguments that C can call. But a caller hands over the first of them in the same places whatever their number
// is, and what lies there behind the last is somebody's stack, which may be read. So these have as many as anybody
// writes down.

/// What was handed over.
@safe private struct WrittenArguments {
    private static let most = 24
    private var words: InlineArray<24, UInt>
    /// How many arguments there are; nil if nil isn't among the words.
    private var count: Int?

    init(_ words: InlineArray<24, UInt>) {
        self.words = words
        for index in 0..<Self.most where words[index] == 0 {
            count = index
            return
        }
    }

    /// What comes behind nil: the environment, for some functions.
    var next: UInt { count.map { $0 + 1 < Self.most ? words[$0 + 1] : 0 } ?? 0 }

    /// Hands the arguments over as a list that ends with nil.
    /// - Returns: what `body` returns; -1 with `E2BIG` for more arguments than can be seen.
    func withList(_ body: (RealCalls.Arguments?) -> Int32) -> Int32 {
        guard count != nil else { return Int32(Answer.fail(Errno(rawValue: E2BIG))) }
        // SAFETY: addresses of the caller's texts as it handed them over, ending with nil; they live through the call.
        return unsafe withUnsafeBytes(of: words) { bytes in
            unsafe body(bytes.baseAddress?.assumingMemoryBound(to: UnsafePointer<CChar>?.self))
        }
    }
}

/// Stands in front of `execl`.
@c(execl) public func hookedExecuteWritten(
    _ path: UnsafePointer<CChar>?,
    _ a0: UInt, _ a1: UInt, _ a2: UInt, _ a3: UInt, _ a4: UInt, _ a5: UInt, _ a6: UInt, _ a7: UInt,
    _ a8:
        UInt, _ a9: UInt, _ a10: UInt, _ a11: UInt, _ a12: UInt, _ a13: UInt, _ a14: UInt, _ a15: UInt,
    _ a16:
        UInt, _ a17: UInt, _ a18: UInt, _ a19: UInt, _ a20: UInt, _ a21: UInt, _ a22: UInt, _ a23: UInt
) -> Int32 {
    let written = WrittenArguments([
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20,
        a21, a22, a23,
    ])
    return unsafe written.withList { list in unsafe hookedExecuteAsIs(path, list) }
}

/// Stands in front of `execlp`.
@c(execlp) public func hookedExecuteWrittenFound(
    _ path: UnsafePointer<CChar>?,
    _ a0: UInt, _ a1: UInt, _ a2: UInt, _ a3: UInt, _ a4: UInt, _ a5: UInt, _ a6: UInt, _ a7: UInt,
    _ a8:
        UInt, _ a9: UInt, _ a10: UInt, _ a11: UInt, _ a12: UInt, _ a13: UInt, _ a14: UInt, _ a15: UInt,
    _ a16:
        UInt, _ a17: UInt, _ a18: UInt, _ a19: UInt, _ a20: UInt, _ a21: UInt, _ a22: UInt, _ a23: UInt
) -> Int32 {
    let written = WrittenArguments([
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20,
        a21, a22, a23,
    ])
    return unsafe written.withList { list in unsafe hookedExecuteFound(path, list) }
}

/// Stands in front of `execle`.
@c(execle) public func hookedExecuteWrittenWith(
    _ path: UnsafePointer<CChar>?,
    _ a0: UInt, _ a1: UInt, _ a2: UInt, _ a3: UInt, _ a4: UInt, _ a5: UInt, _ a6: UInt, _ a7: UInt,
    _ a8:
        UInt, _ a9: UInt, _ a10: UInt, _ a11: UInt, _ a12: UInt, _ a13: UInt, _ a14: UInt, _ a15: UInt,
    _ a16:
        UInt, _ a17: UInt, _ a18: UInt, _ a19: UInt, _ a20: UInt, _ a21: UInt, _ a22: UInt, _ a23: UInt
) -> Int32 {
    let written = WrittenArguments([
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20,
        a21, a22, a23,
    ])
    return unsafe written.withList { list in
        // SAFETY: the caller's environment, as the function is documented.
        unsafe hookedExecute(path, list, RealCalls.Arguments(bitPattern: written.next))
    }
}
