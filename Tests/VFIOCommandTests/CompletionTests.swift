import Foundation
import Testing

@testable import VFIOCommand

@Suite("Shells complete the command's words")
struct CompletionTests {
    @Test("The script for each shell is one that the shell accepts", arguments: ["bash", "zsh", "fish"])
    func syntax(shell: String) throws {
        let script = try vfio("--generate-completion-script", shell)
        #expect(script.code == 0 && script.output.contains("inspect"), "\(script.errors)")
        guard let path = OtherProgram.path(shell) else {
            print("skipped: \(shell) isn't installed")
            return
        }
        let scratch = try Scratch()
        let checked = try OtherProgram.run(path, ["-n", try scratch.file("script", script.output)])
        #expect(checked.code == 0, "\(checked.errors)")
    }

    /// What bash offers for a line, with its cursor at the end.
    private func offered(_ line: String, in scratch: Scratch) throws -> [String] {
        let script = try scratch.file("script", try vfio("--generate-completion-script", "bash").output)
        // Words as bash's own reading of lines divides them: at white space, and at each colon and equals sign.
        let driver = """
            source \(script)
            compopt() { :; }
            PATH=\(vfioProgram().deletingLastPathComponent().path):$PATH
            COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=() COMPREPLY=()
            rest=$1
            while [[ -n $rest ]]; do
                while [[ $rest == ' '* ]]; do rest=${rest:1}; done
                [[ -n $rest ]] || break
                if [[ $rest == [:=]* ]]; then word=${rest:0:1}; else word=${rest%%[ :=]*}; fi
                COMP_WORDS+=("$word")
                rest=${rest#"$word"}
            done
            [[ $1 != *' ' ]] || COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            current=${COMP_WORDS[COMP_CWORD]}
            [[ $current != [:=] ]] || current=
            function=$(complete -p vfio | sed -E 's/.*-F ([^ ]*).*/\\1/')
            "$function" vfio "$current" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let bash = try #require(OtherProgram.path("bash"))
        let outcome = try OtherProgram.run(
            bash, ["--norc", "-c", driver, "bash", line], folder: scratch.path)
        #expect(outcome.errors == "", "\(line)")
        return outcome.output.split(separator: "\n").map(String.init)
    }

    @Test("bash offers verbs, the devices of the line's machine, and goes on after a colon")
    func words() throws {
        let scratch = try Scratch()
        _ = try scratch.file(
            "lab.json",
            """
            { "groups": [ { "number": 26, "devices": [
                { "address": "0000:01:00.0", "model": "edu" }, { "address": "0000:05:00.0", "model": "edu" } ] } ] }
            """)
        for (line, words) in [
            ("vfio insp", ["inspect"]),
            ("vfio inspect --machine lab.json ", ["0000:01:00.0", "0000:05:00.0"]),
            ("vfio inspect --machine=lab.json ", ["0000:01:00.0", "0000:05:00.0"]),
            ("vfio inspect --machine 'lab.json' 0000:", ["01:00.0", "05:00.0"]),
            ("vfio inspect --machine lab.json 0000:05:0", ["00.0"]),
            ("vfio inspect --machine lab.json 05", ["05:00.0"]),
            ("vfio inspect --machine ", ["lab.json"]),
            ("vfio nvme identify --host ", ["linux", "soft", "user:"]),
            ("vfio nvme identify --host=s", ["soft"]),
            ("vfio run --bars t", ["trapped"]),
            ("vfio serve n", ["nvme"]),
        ] {
            let offered = try offered(line, in: scratch)
            #expect(offered == words, "\(line)")
        }
    }

    @Test("A machine that can't be had offers nothing, and says nothing")
    func brokenMachine() throws {
        let scratch = try Scratch()
        _ = try scratch.file("bad.json", "{")
        for machine in ["bad.json", "none.json"] {
            let offered = try offered("vfio inspect --machine \(machine) ", in: scratch)
            #expect(offered == [])
        }
    }

    @Test("Options that name a machine are found in a line, quoted or not")
    func options() {
        #expect(
            Completion.options(["vfio", "list", "--machine='a b.json'", "--by", "group", "--host", "soft"])
                == ["--machine", "a b.json", "--host", "soft"])
        #expect(Completion.options(["vfio", "run", "--", "x", "--machine", "m"]) == [])
        #expect(Completion.options(["vfio", "list", "--machine"]) == [])
        #expect(Completion.unquoted(#""a\"b"'c\d'e\ f"#) == #"a"bc\de f"#)
    }

    @Test("A word with colons is whole for zsh and fish, with what it stands for")
    func candidates() {
        let candidate = Completion.Candidate("0000:01:00.0", "NVMe controller")
        #expect(candidate.text(for: .zsh) == #"0000\:01\:00.0:NVMe controller"#)
        #expect(candidate.text(for: .fish) == "0000:01:00.0\tNVMe controller")
        #expect(candidate.text(for: .bash) == "0000:01:00.0")
    }
}
