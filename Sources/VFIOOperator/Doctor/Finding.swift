import PCIDecoder

/// What a ``Doctor`` found out about one thing.
public struct Finding: Sendable, Equatable {
    /// How it stands.
    public enum Result: String, Sendable, CaseIterable {
        /// As it should be.
        case ok
        /// It works, or may, and there is something to know.
        case warning
        /// It keeps a device from being used.
        case failed
        /// The facts can't be read here.
        case undetermined
    }

    /// A name for programs, which stays: "iommu", "memory-lock", …
    public var id: String
    /// The device that it is about; nil for the machine.
    public var device: String?
    /// What was looked at, in a word or two.
    public var title: String
    /// How it stands.
    public var result: Result
    /// What was found, in one line.
    public var summary: String
    /// What was read.
    public var evidence: [Evidence]
    /// What to do about it, in order, or instead of each other where the text says so.
    public var remedies: [Remedy]
    /// Whether it leaves open if devices can be used, where it couldn't be determined.
    public var isEssential: Bool

    /// Describes a finding. Control characters in what was read become visible, so that no device and no process can
    /// write to a person's terminal by its name.
    public init(
        id: String, device: String? = nil, title: String, result: Result, summary: String,
        evidence: [Evidence] = [], remedies: [Remedy] = [], isEssential: Bool = true
    ) {
        self.id = id
        self.device = device.map(visible)
        self.title = title
        self.result = result
        self.summary = visible(summary)
        self.evidence = evidence
        self.remedies = remedies
        self.isEssential = isEssential
    }
}

/// Something that was read, and what stood there.
public struct Evidence: Sendable, Equatable {
    /// Where: a file, a folder, or a command.
    public var place: String
    /// What stood there, cut where it is long; or why it couldn't be read.
    public var found: String

    /// Describes what was read.
    public init(_ place: String, _ found: String) {
        self.place = visible(place)
        self.found = visible(found)
    }
}

/// What to do about something.
public struct Remedy: Sendable, Equatable {
    /// What it does, or what to do by hand; nil where the command says it all.
    public var advice: String?
    /// The line to type into a shell, where there is one.
    public var command: String?

    /// Something to do by hand.
    public static func advice(_ text: String) -> Remedy { Remedy(advice: visible(text), command: nil) }

    /// A line for a shell.
    public static func run(_ command: String, _ advice: String? = nil) -> Remedy {
        Remedy(advice: advice.map(visible), command: visible(command))
    }
}

/// A check's answer: the part of a ``Finding`` that the check decides.
struct Judgement {
    var result: Finding.Result
    var summary: String
    var remedies: [Remedy] = []

    static func ok(_ summary: String, _ remedies: [Remedy] = []) -> Judgement {
        Judgement(result: .ok, summary: summary, remedies: remedies)
    }
    static func warning(_ summary: String, _ remedies: [Remedy] = []) -> Judgement {
        Judgement(result: .warning, summary: summary, remedies: remedies)
    }
    static func failed(_ summary: String, _ remedies: [Remedy] = []) -> Judgement {
        Judgement(result: .failed, summary: summary, remedies: remedies)
    }
    static func undetermined(_ summary: String, _ remedies: [Remedy] = []) -> Judgement {
        Judgement(result: .undetermined, summary: summary, remedies: remedies)
    }
}

extension Finding.Result {
    /// How bad it is, for choosing the worst of several.
    var weight: Int {
        switch self {
        case .ok: 0
        case .undetermined: 1
        case .warning: 2
        case .failed: 3
        }
    }
}

/// A text on one line, without anything that a terminal would obey, and not too long.
func visible(_ text: String) -> String {
    let line = text.split { $0 == " " || $0 == "\t" || $0.isNewline }.joined(separator: " ")
    return PrintableText.of(line.utf8, limit: 512)
}
