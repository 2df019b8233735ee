import NVMe
import PCIDecoder
import VFIO
import VFIOTrace

/// The registers of an NVMe controller's first BAR, and their fields (NVMe Base 2.0, 3.1.3; PCIe Transport 1.0, 3.1.2).
/// The names are those of traces.
enum NVMeRegisterLayouts {
    private struct Layout {
        let offset: UInt64
        let title: String
        var byteCount = 4
        var fields: [FieldLayout] = []
        var meaning: @Sendable (UInt64) -> String? = { _ in nil }
    }

    /// The registers with names, and the two doorbells of the admin queues.
    static let registers: [NamedRegister] =
        layouts.compactMap { layout in
            RegisterNames.nvme(layout.offset, stride: 0).map {
                NamedRegister(
                    $0, layout.title, in: .bar0, at: layout.offset, byteCount: layout.byteCount, false,
                    alias: NamedRegister.key(layout.title))
            }
        } + [0, 4].compactMap { doorbell(at: RegisterOffset.doorbells + $0, stride: 0) }

    /// The doorbell at an offset; nil where none begins.
    /// - Parameter stride: CAP.DSTRD.
    static func doorbell(at offset: UInt64, stride: UInt8) -> NamedRegister? {
        guard let target = Doorbell(stride: stride).target(at: offset),
            let name = RegisterNames.nvme(offset, stride: stride)
        else { return nil }
        let title =
            switch target {
            case .submissionTail(let queue): "Submission Queue \(queue) Tail Doorbell"
            case .completionHead(let queue): "Completion Queue \(queue) Head Doorbell"
            }
        return NamedRegister(name, title, in: .bar0, at: offset, byteCount: 4, isWriteOnly: true)
    }

    /// The doorbell with a name: "SQ3TDBL", "CQ3HDBL".
    static func doorbell(named name: String, stride: UInt8) -> NamedRegister? {
        let word = name.uppercased()
        let doorbells = Doorbell(stride: stride)
        for (prefix, suffix, isTail) in [("SQ", "TDBL", true), ("CQ", "HDBL", false)]
        where word.hasPrefix(prefix) && word.hasSuffix(suffix) {
            guard let number = RegisterPlace.number(word.dropFirst(2).dropLast(4)),
                let queue = UInt16(exactly: number)
            else { return nil }
            return doorbell(
                at: isTail ? doorbells.submissionTail(of: queue) : doorbells.completionHead(of: queue),
                stride: stride)
        }
        return nil
    }

    /// A register's value with its fields; nil for one that isn't known.
    static func decoded(_ register: NamedRegister, _ value: UInt64) -> ConfigurationField? {
        guard let layout = layouts.first(where: { $0.offset == register.offset }) else { return nil }
        return ConfigurationField(
            layout.title, offset: Int(layout.offset), byteCount: layout.byteCount,
            bits: 0...(8 * layout.byteCount - 1), value: value, meaning: layout.meaning(value),
            fields: layout.fields.map {
                $0.field(of: value, offset: Int(layout.offset), byteCount: layout.byteCount)
            })
    }

    private static let layouts: [Layout] = [
        Layout(
            offset: RegisterOffset.capabilities, title: "Controller Capabilities", byteCount: 8,
            fields: [
                .value(0...15, "Maximum Queue Entries") { "\($0 + 1)" },
                .flag(16, "Contiguous Queues Required"),
                .set(17...18, "Arbitration", ["weighted-round-robin", "vendor"]),
                .value(24...31, "Timeout") { "\($0 * 500) ms" },
                .value(32...35, "Doorbell Stride") { "\(UInt64(4) << $0) bytes" },
                .flag(36, "NVM Subsystem Reset Supported"),
                .set(37...44, "Command Sets", ["NVM", "", "", "", "", "", "I/O", "admin-only"]),
                .flag(45, "Boot Partition Support"),
                .value(48...51, "Memory Page Size Minimum", page),
                .value(52...55, "Memory Page Size Maximum", page),
                .flag(56, "Persistent Memory Region Supported"),
                .flag(57, "Controller Memory Buffer Supported"),
            ]),
        Layout(
            offset: RegisterOffset.version, title: "Version",
            meaning: { "NVMe \(Version(rawValue: UInt32(truncatingIfNeeded: $0)))" }),
        Layout(offset: RegisterOffset.interruptMaskSet, title: "Interrupt Mask Set"),
        Layout(offset: RegisterOffset.interruptMaskClear, title: "Interrupt Mask Clear"),
        Layout(
            offset: RegisterOffset.configuration, title: "Controller Configuration",
            fields: [
                .flag(0, "Enable"),
                .value(4...6, "I/O Command Set Selected") {
                    ["NVM", "", "", "", "", "", "all supported", "admin only"][Int($0)]
                },
                .value(7...10, "Memory Page Size", page),
                .choice(11...13, "Arbitration", ["round robin", "weighted round robin"]),
                .choice(14...15, "Shutdown Notification", ["none", "normal", "abrupt"]),
                .value(16...19, "I/O Submission Queue Entry Size", entry),
                .value(20...23, "I/O Completion Queue Entry Size", entry),
                .flag(24, "Controller Ready Independent of Media"),
            ]),
        Layout(
            offset: RegisterOffset.status, title: "Controller Status",
            fields: [
                .flag(0, "Ready"), .flag(1, "Controller Fatal Status"),
                .choice(2...3, "Shutdown Status", ["normal operation", "occurring", "complete"]),
                .flag(4, "NVM Subsystem Reset Occurred"), .flag(5, "Processing Paused"),
            ]),
        Layout(offset: RegisterOffset.subsystemReset, title: "NVM Subsystem Reset"),
        Layout(
            offset: RegisterOffset.adminQueueAttributes, title: "Admin Queue Attributes",
            fields: [
                .value(0...11, "Submission Queue Entries") { "\($0 + 1)" },
                .value(16...27, "Completion Queue Entries") { "\($0 + 1)" },
            ]),
        Layout(offset: RegisterOffset.adminSubmissionQueue, title: "Admin Submission Queue", byteCount: 8),
        Layout(offset: RegisterOffset.adminCompletionQueue, title: "Admin Completion Queue", byteCount: 8),
        Layout(
            offset: RegisterOffset.memoryBufferLocation, title: "Controller Memory Buffer Location",
            fields: [.number(0...2, "BAR"), .number(12...31, "Offset in Units")]),
        Layout(
            offset: RegisterOffset.memoryBufferSize, title: "Controller Memory Buffer Size",
            fields: [
                .flag(0, "Submission Queues"), .flag(1, "Completion Queues"), .flag(2, "PRP and SGL Lists"),
                .flag(3, "Read Data"), .flag(4, "Write Data"),
                .value(8...11, "Unit") { $0 > 6 ? "reserved (\($0))" : "\(4 << (4 * $0)) KiB" },
                .number(12...31, "Size in Units"),
            ]),
        Layout(offset: RegisterOffset.bootPartitionInformation, title: "Boot Partition Information"),
        Layout(
            offset: RegisterOffset.memoryBufferSpaceControl,
            title: "Controller Memory Buffer Memory Space Control",
            byteCount: 8),
        Layout(offset: RegisterOffset.memoryBufferStatus, title: "Controller Memory Buffer Status"),
        Layout(
            offset: RegisterOffset.readyTimeouts, title: "Controller Ready Timeouts",
            fields: [
                .value(0...15, "With Media") { "\($0 * 500) ms" },
                .value(16...31, "Independent of Media") { "\($0 * 500) ms" },
            ]),
        Layout(
            offset: RegisterOffset.persistentMemoryCapabilities,
            title: "Persistent Memory Region Capabilities"),
    ]

    /// A memory page: 4 KiB and up.
    @Sendable private static func page(_ exponent: UInt64) -> String? {
        exponent < 8 ? "\(4 << exponent) KiB" : "\(1 << (exponent - 8)) MiB"
    }

    /// A queue's entry; as long as nobody has set its size, that isn't 1 byte.
    @Sendable private static func entry(_ exponent: UInt64) -> String? {
        exponent == 0 ? "not set" : "\(1 << exponent) bytes"
    }
}
