import ArgumentParser
import LinuxSystem
import PCIDecoder
import VFIOABI
import VFIOHost

/// What a shell offers where a word is to be completed: the devices, drivers and sockets that are there.
enum Completion {
    /// The shells that there are scripts for.
    enum Shell: String {
        case bash, zsh, fish

        /// The one that asks.
        static var asking: Shell {
            CompletionShell.requesting.flatMap { Shell(rawValue: $0.rawValue) } ?? .bash
        }
    }

    /// A word, and what it stands for.
    struct Candidate {
        let word: String
        let summary: String?

        init(_ word: String, _ summary: String? = nil) {
            self.word = word
            self.summary = summary
        }

        /// As a shell's script takes it: zsh and fish show what a word stands for, bash doesn't.
        func text(for shell: Shell) -> String {
            switch shell {
            case .zsh:
                // zsh takes what follows a colon for the summary.
                word.split(separator: ":", omittingEmptySubsequences: false).joined(separator: "\\:")
                    + (summary.map { ":\($0)" } ?? "")
            case .fish: word + (summary.map { "\t\($0)" } ?? "")
            case .bash: word
            }
        }
    }

    /// The devices of the machine that the line names.
    @Sendable static func devices(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        texts(candidates(words, prefix, withOthers: true))
    }

    /// The PCI devices of the machine that the line names.
    @Sendable static func addresses(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        texts(candidates(words, prefix, withOthers: false))
    }

    /// The drivers of the devices of the machine that the line names, and those of VFIO.
    @Sendable static func drivers(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        guard let inventory = inventory(words) else { return ["vfio-pci"] }
        let names =
            inventory.devices.compactMap(\.driver?.name) + inventory.otherDevices.compactMap(\.driver?.name)
        return Set(names + ["vfio-pci"]).sorted()
    }

    /// What `--host` takes: the kinds of hosts, and once `user:` is there, sockets.
    @Sendable static func hosts(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        let user = "user:"
        guard prefix.hasPrefix(user) else {
            return texts([
                Candidate("linux", "this machine's kernel"),
                Candidate("soft", "a VFIO kernel in this process"),
                Candidate(user, "a vfio-user server, by its socket"),
            ])
        }
        let path = prefix.dropFirst(user.count)
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        let names = (try? FileSystem.names(in: folder.isEmpty ? "." : folder, limit: 4096)) ?? []
        return texts(
            names.sorted().compactMap { name in
                switch try? FileSystem.status(folder + name).kind {
                case .socket?: Candidate(user + folder + name, "socket")
                case .directory?: Candidate(user + folder + name + "/", "folder")
                default: nil
                }
            })
    }

    /// What the requests of the uAPI are called in traces and faults.
    static var requests: [String] {
        Set(RequestName.all.map { "\($0.shortName)" }).sorted() + ["open", "close", "read", "write", "map"]
    }

    private static func texts(_ candidates: [Candidate]) -> [String] {
        candidates.map { $0.text(for: .asking) }
    }

    // MARK: devices

    private static func candidates(_ words: [String], _ prefix: String, withOthers: Bool) -> [Candidate] {
        guard let inventory = inventory(words) else { return [] }
        var candidates = inventory.devices.map { device in
            Candidate(
                "\(device.address)",
                PCIClass.name(device.classCode) + (device.driver.map { ", \($0.name)" } ?? ", no driver"))
        }
        if withOthers {
            candidates += inventory.otherDevices.map { Candidate("\($0.id)", $0.driver?.name) }
        }
        // Whoever begins without the domain goes on without it.
        let domain = "0000:"
        if !prefix.isEmpty, !candidates.contains(where: { $0.word.hasPrefix(prefix) }) {
            candidates = candidates.filter { $0.word.hasPrefix(domain) }.map {
                Candidate(String($0.word.dropFirst(domain.count)), $0.summary)
            }
        }
        return candidates
    }

    /// The inventory of the machine that a line's options name; nil where it can't be had.
    private static func inventory(_ words: [String]) -> Inventory? {
        guard let options = try? HostOptions.parse(options(words)), let host = try? options.makeHost() else {
            return nil
        }
        return try? host.inventory()
    }

    /// The options of a line that say which machine is meant, as far as they are complete.
    static func options(_ words: [String]) -> [String] {
        let names = ["--host", "--machine", "--sysfs", "--dev", "--proc"]
        var options: [String] = []
        for (index, word) in words.enumerated() {
            if word == "--" { break }
            if names.contains(word), index + 1 < words.count {
                options += [word, unquoted(words[index + 1])]
            } else if let equals = word.firstIndex(of: "="), names.contains(String(word[..<equals])) {
                options += [String(word[..<equals]), unquoted(String(word[word.index(after: equals)...]))]
            }
        }
        return options
    }

    /// A word without a shell's quotes and backslashes, and with the home folder for a tilde.
    static func unquoted(_ word: String) -> String {
        var text = ""
        var quote: Character?
        var isEscaped = false
        for character in word {
            if isEscaped {
                text.append(character)
                isEscaped = false
            } else if character == "\\" && quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { text.append(character) }
            } else if character == "'" || character == "\"" {
                quote = character
            } else {
                text.append(character)
            }
        }
        if text.hasPrefix("~/"), word.hasPrefix("~"), let home = ChildProcess.environmentValue("HOME") {
            text = home + text.dropFirst(1)
        }
        return text
    }
}
