import Foundation
import Testing

@Suite("Colours, bars and exit codes")
struct TerminalTests {
    /// How a verb is run on a software machine. A verb that isn't here is given a device, and may refuse that.
    private func arguments(of words: [String], _ scratch: Scratch) throws -> [String] {
        let device = "0000:01:00.0"
        let soft = ["--host", "soft"]
        switch words.joined(separator: " ") {
        case "list": return words + soft + ["--tree"]
        case "doctor", "conform", "mdev types": return words + soft
        case "demo": return words + ["--guest"]
        case "run": return words + ["--", "/nonexistent"]
        case "serve": return words + ["edu", "--socket", scratch.path + "/edu.sock"]
        case "trace show", "trace summary", "trace case": return words + [scratch.path + "/trace"]
        case "nvme read": return words + soft + [device, "--output", scratch.path + "/blocks"]
        case "nvme write":
            return words + soft + [
                device, "--lba", "0", "--input", try scratch.file("in", Data(count: 1 << 22)),
            ]
        case "read": return words + soft + [device, "config:0"]
        case "write": return words + soft + [device, "config:COMMAND", "0", "--dry-run"]
        case "irq watch": return words + soft + [device, "--seconds", "0.1"]
        case "bench": return words + soft + ["--milliseconds", "10"]
        case "top": return words + ["--count", "1"]
        case "nvme perf": return words + soft + [device, "--seconds", "0.1"]
        case "mdev create":
            return words + soft + ["mdpy", "mdpy-vga", "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a09"]
        case "mdev remove": return words + soft + ["5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"]
        case "bind", "unbind", "restore": return words + soft + ["--dry-run", device]
        default: return words + soft + [device]
        }
    }

    @Test("No verb uses codes in a pipe, with NO_COLOR or on a dumb terminal")
    func codes() throws {
        let scratch = try Scratch()
        _ = try vfio("inspect", "0000:02:00.0", "--host", "soft", "--trace", scratch.path + "/trace")
        let hasTerminal = OtherProgram.path("script") != nil
        if !hasTerminal { print("skipped on a terminal: script(1) isn't installed") }
        var coloured: [String] = []
        for verb in try Verbs().leaves {
            let arguments = try arguments(of: verb.words, scratch)
            let seconds = verb.words == ["serve"] ? 2 : 60
            let timeout = try #require(OtherProgram.path("timeout"))
            let piped = try OtherProgram.run(timeout, ["\(seconds)", vfioProgram().path] + arguments)
            #expect(!(piped.output + piped.errors).contains("\u{1b}"), "\(arguments) in a pipe")
            // Bars are for terminals.
            #expect(!(piped.output + piped.errors).contains("\r"), "\(arguments) in a pipe")
            guard hasTerminal else { continue }
            for quiet in [["NO_COLOR": "1", "TERM": "xterm"], ["TERM": "dumb"]] {
                let shown = try OtherProgram.onTerminal(arguments, environment: quiet, seconds: seconds)
                #expect(!shown.output.contains("\u{1b}"), "\(arguments) with \(quiet)")
            }
            if ["list", "doctor", "inspect"].contains(verb.words[0]) {
                let shown = try OtherProgram.onTerminal(arguments, environment: ["TERM": "xterm"])
                if shown.output.contains("\u{1b}[") { coloured.append(verb.words[0]) }
            }
        }
        // Or else nothing above could fail.
        #expect(!hasTerminal || coloured.sorted() == ["doctor", "inspect", "list"])
    }

    @Test("Every verb ends with 0 for help and with 2 for an option that nobody knows")
    func usage() throws {
        for verb in try Verbs().leaves {
            #expect(try vfio(verb.words + ["--help"]).code == 0, "\(verb.words)")
            #expect(try vfio(verb.words + ["--no-such-option"]).code == 2, "\(verb.words)")
        }
        #expect(try vfio("--version").output.hasPrefix("vfio "))
        let help = try vfio([]).output
        #expect(help.contains("SEE WHAT IS THERE:") && !help.contains("SUBCOMMANDS:"), "\(help)")
    }

    @Test("What every verb with a device says of one that isn't there ends with 1, and of no address with 2")
    func devices() throws {
        for verb in try Verbs().leaves where verb.options.contains("host") {
            switch verb.words.first {
            // Of these the devices aren't what they are called with, or they look at those that aren't there too.
            case "list", "conform", "mdev", "doctor", "restore", "top", "bench": continue
            default: break
            }
            var more: [String] = []
            if verb.words == ["nvme", "write"] { more = ["--lba", "0", "--input", "/dev/null"] }
            if ["read", "write", "irq"].contains(verb.words[0]) { continue }
            let route = verb.words == ["inspect"] ? ["--route", "group"] : []
            let missing = try vfio(verb.words + ["--host", "soft", "0000:7f:00.0"] + more + route)
            #expect(missing.code == 1, "\(verb.words): \(missing.errors)")
            #expect(missing.errors.contains("0000:7f:00.0"), "\(verb.words): \(missing.errors)")
            let malformed = try vfio(verb.words + ["--host", "soft", "nonsense"] + more)
            #expect(malformed.code == 2, "\(verb.words): \(malformed.errors)")
            #expect(malformed.errors.contains("vfio list"), "\(verb.words): \(malformed.errors)")
        }
    }

    @Test("-v prints the calls that a trace of the same time has")
    func calls() throws {
        let scratch = try Scratch()
        let trace = scratch.path + "/trace"
        let run = try vfio(
            "nvme", "identify", "0000:01:00.0", "--host", "soft", "-v", "--trace", trace, "--json")
        #expect(run.code == 0, "\(run.errors)")
        #expect(run.output.hasPrefix("{"))
        let shown = try vfio("trace", "show", trace).output.split(separator: "\n")
        let printed = run.errors.split(separator: "\n")
        // A trace tells of the process and the devices too.
        let calls = shown.filter {
            $0.hasSuffix("s)") && $0.contains(" = ") || $0.contains("close") || $0.contains("unmap")
        }
        #expect(printed.count > 20)
        #expect(printed.filter { $0.contains("IOAS_MAP") } == calls.filter { $0.contains("IOAS_MAP") })
        #expect(printed.last == shown.last)
        for verbs in [["inspect"], ["doctor"]] {
            let details = try vfio(verbs + ["0000:02:00.0", "--host", "soft", "-v"])
            #expect(details.errors == "", "\(verbs)")
        }
        #expect(
            try vfio("inspect", "0000:02:00.0", "--host", "soft", "-vv").errors.contains("DEVICE_GET_INFO"))
    }
}
