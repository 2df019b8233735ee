import CLinux

/// Another program, run to its end.
public enum ChildProcess {
    /// Runs a program found in `PATH`, its input and output on `/dev/null`, and waits for its end.
    /// - Returns: its exit code, or 128 and the number of the signal that ended it.
    /// - Throws: `ENOENT` if there is no such program.
    public static func run(_ program: String, _ arguments: [String]) throws(Errno) -> Int {
        let words = CStrings([program] + arguments)
        // SAFETY: the list ends with nil and lives through the call.
        let result = unsafe clinux_run_quietly(words.list)
        _ = consume words
        return try checked(retrying: false) { result }
    }

    /// Starts a program by its path, in a session of its own, its input and output on `/dev/null`. Nobody waits for it.
    /// - Throws: `ENOENT` if there is no such program.
    public static func startInBackground(_ path: String, _ arguments: [String]) throws(Errno) {
        let words = CStrings([path] + arguments)
        // SAFETY: the list ends with nil and lives through the call.
        let result = unsafe clinux_start_in_background(words.list)
        _ = consume words
        _ = try checked(retrying: false) { result }
    }

    /// How a program ended.
    public enum Ending: Sendable, Equatable {
        /// By itself, with this code.
        case exited(Int32)
        /// By a signal with this number.
        case signalled(Int32)
    }

    /// Runs a program found in `PATH` with this process's own input and output, hands on the signals that this process is
    /// sent, and waits for its end. To be called before there are other threads.
    /// - Parameters:
    ///   - variables: variables of its environment, in place of those of this process's own with the same names.
    ///   - standIn: a signal that is held back from the program where SIGSEGV is held back from this process; SIGSEGV
    ///     itself then never is. 0 for none.
    /// - Throws: `ENOENT` if there is no such program; `EACCES` for one that can't be run.
    public static func runInFront(
        _ program: String, _ arguments: [String], variables: [(name: String, value: String)],
        standIn: Int32 = 0
    ) throws(Errno) -> Ending {
        var environment: [String] = []
        // SAFETY: the list ends with nil, its texts with a NUL; nobody changes them meanwhile.
        var place = unsafe clinux_all_environment()
        while let text = unsafe place?.pointee {
            let line = unsafe String(cString: text)
            let name = line.utf8.prefix { $0 != UInt8(ascii: "=") }
            if !variables.contains(where: { $0.name.utf8.elementsEqual(name) }) { environment.append(line) }
            unsafe place = unsafe place?.advanced(by: 1)
        }
        for variable in variables { environment.append(variable.name + "=" + variable.value) }
        let words = CStrings([program] + arguments)
        let lines = CStrings(environment)
        // SAFETY: both lists end with nil and live through the call.
        let result = unsafe clinux_run_program(words.list, lines.list, SIGSEGV, standIn)
        _ = consume words
        _ = consume lines
        let status = Int32(truncatingIfNeeded: try checked(retrying: false) { result })
        let signal = clinux_ending_signal(status)
        return signal > 0 ? .signalled(signal) : .exited(clinux_exit_code(status))
    }

    /// The value of a variable of this process's environment; nil if it isn't there.
    public static func environmentValue(_ name: String) -> String? {
        // SAFETY: the C string lives through the call, and the value is copied at once.
        unsafe name.withCString { name in
            unsafe clinux_environment(name).map { unsafe String(cString: $0) }
        }
    }
}

/// A list of C strings that ends with nil, as exec(3) takes it.
@safe struct CStrings: ~Copyable {
    // SAFETY: allocated here with one place more than there are texts, freed in deinit.
    let list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ texts: [String]) {
        count = texts.count
        unsafe list = .allocate(capacity: texts.count + 1)
        // SAFETY: strdup makes copies that are freed in deinit.
        for (index, text) in texts.enumerated() {
            unsafe (list + index).initialize(to: text.withCString { unsafe strdup($0) })
        }
        unsafe (list + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { unsafe free(list[index]) }
        unsafe list.deallocate()
    }
}

/// What an open descriptor shows a person.
public enum Terminal {
    /// Whether the descriptor is a terminal.
    public static func isTerminal(_ number: Int32) -> Bool { clinux_is_terminal(number) != 0 }

    /// How many columns the terminal has; 80 where that can't be told.
    public static func columns(_ number: Int32) -> Int { Int(clinux_terminal_columns(number)) }

    /// How many rows the terminal has; 24 where that can't be told.
    public static func rows(_ number: Int32) -> Int { Int(clinux_terminal_rows(number)) }
}
