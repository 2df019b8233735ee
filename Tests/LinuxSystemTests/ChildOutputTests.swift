import LinuxSystem
import Testing

@Suite("The output of another program")
struct ChildOutputTests {
    @Test("both streams are read, whatever the program ends with")
    func both() throws {
        let output = try ChildProcess.output(
            of: "sh", ["-c", "echo out; echo err >&2; exit 3"], byteLimit: 100, milliseconds: 60_000)
        #expect(String(decoding: output, as: UTF8.self) == "out\nerr\n")
    }

    @Test("a program that prints without end is cut off and ended")
    func endless() throws {
        let output = try ChildProcess.output(of: "yes", [], byteLimit: 10_000, milliseconds: 60_000)
        #expect(output.count == 10_000)
    }

    @Test("a program that takes too long is ended, and so is what it started, however quiet they are")
    func late() {
        for script in ["sleep 1000", "sleep 1000 & sleep 1000", "exec >/dev/null 2>&1; sleep 1000"] {
            #expect(throws: Errno.timedOut) {
                try ChildProcess.output(of: "sh", ["-c", script], byteLimit: 100, milliseconds: 50)
            }
        }
    }

    @Test("a program that isn't there is said not to be")
    func absent() {
        #expect(throws: Errno.noSuchEntry) {
            try ChildProcess.output(of: "/nowhere/at-all", [], byteLimit: 100, milliseconds: 1000)
        }
    }
}
