import CLinux

/// Another program, run to its end.
public enum ChildProcess {
    /// Runs a program found in `PATH`, its input and output on `/dev/null`, and waits for its end.
    /// - Returns: its exit code, or 128 and the number of the signal that ended it.
    /// - Throws: `ENOENT` if there is no such program.
    public static func run(_ program: String, _ arguments: [String]) throws(Errno) -> Int {
        // SAFETY: a list of C strings, each owned by this function.
        var words: [UnsafeMutablePointer<CChar>?] = unsafe []
        for word in [program] + arguments {
            // SAFETY: strdup makes a copy that is freed below, after the call.
            unsafe words.append(word.withCString { unsafe strdup($0) })
        }
        unsafe words.append(nil)
        defer {
            // SAFETY: each was made by strdup above and isn't used any more.
            for index in unsafe words.indices { unsafe free(words[index]) }
        }
        // SAFETY: the list ends with nil and lives through the call.
        let result = unsafe words.withUnsafeMutableBufferPointer { buffer in
            unsafe buffer.baseAddress.map { unsafe clinux_run_quietly($0) } ?? -Int(EINVAL)
        }
        return try checked(retrying: false) { result }
    }
}

/// What an open descriptor shows a person.
public enum Terminal {
    /// Whether the descriptor is a terminal.
    public static func isTerminal(_ number: Int32) -> Bool { clinux_is_terminal(number) != 0 }

    /// How many columns the terminal has; 80 where that can't be told.
    public static func columns(_ number: Int32) -> Int { Int(clinux_terminal_columns(number)) }
}
