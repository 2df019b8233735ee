import ArgumentParser
import LinuxSystem
import VFIOHost
import VFIOTrace

/// `vfio trace show FILE`: call by call.
struct TraceShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print a trace, call by call.",
        discussion: """
            A line has the time since the trace began in seconds, the thread (and its process, if it isn't \
            the first), the handle and what it is, what was asked, what was answered, and how long that took. \
            Fields that the answer changed are shown as before→after.
            """)

    @OptionGroup var options: TraceFileOptions
    @Flag(help: "Print JSON, one object a line.") var json = false

    /// What `--json` prints for a call.
    struct Entry: Encodable {
        let time: UInt64
        let duration: UInt64
        let process: Int32
        let thread: Int32
        let handle: Int32?
        let object: String?
        let call: String
        let text: String
        let device: String?
        let region: String?
        let offset: UInt64?
        let register: String?
        let byteCount: UInt64?
        let result: Int64
        let errno: String?
        let before: String?
        let after: String?
        let data: String?
    }

    func run() throws {
        let filter = try options.filter()
        var session = TraceSession()
        for record in try options.trace().records {
            let event = session.take(record)
            if json {
                if filter.picks(event) { try JSONOutput.printLine(Self.entry(event)) }
            } else if filter.picks(event) {
                print(Self.line(event))
            } else if !event.isCall, Self.showsAll(options) {
                print("\(Self.column(TraceTime.seconds(record.time), 11, isRight: true))  \(event.question)")
            }
        }
    }

    /// Whether nothing is filtered out: then processes and devices are of interest too.
    private static func showsAll(_ options: TraceFileOptions) -> Bool {
        options.request.isEmpty && options.device == nil && options.register == nil && options.handle == nil
            && options.process == nil && options.thread == nil && options.errno == nil
            && options.since == nil && options.until == nil && options.slower == nil
    }

    private static func column(_ text: String, _ width: Int, isRight: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return isRight ? space + text : text + space
    }

    static func line(_ event: TraceEvent) -> String {
        let record = event.record
        let thread =
            record.thread == record.process ? "\(record.thread)" : "\(record.process)/\(record.thread)"
        let handle = record.handle < 0 ? "" : "\(record.handle)"
        var line = column(TraceTime.seconds(record.time), 11, isRight: true)
        line += "  \(column(thread, 7))  \(column(handle, 4, isRight: true)) \(column(event.object, 13))"
        line += " \(event.question)"
        if let answer = event.answer { line += " = \(answer)" }
        return line + "  (\(Human.nanoseconds(record.duration)))"
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { hexadecimal($0, digits: 2) }.joined()
    }

    private static func entry(_ event: TraceEvent) -> Entry {
        let record = event.record
        let moves = [.read, .write, .receive, .send, .map, .unmap].contains(record.kind)
        return Entry(
            time: record.time, duration: record.duration, process: record.process, thread: record.thread,
            handle: record.handle < 0 ? nil : record.handle,
            object: event.object.isEmpty ? nil : event.object, call: event.verb, text: event.question,
            device: event.device, region: event.place?.region, offset: event.place?.offset,
            register: event.place?.register, byteCount: moves ? record.byteCount : nil,
            result: record.result, errno: event.errorName, before: record.before.map(hex),
            after: record.after.map(hex), data: record.data.isEmpty ? nil : hex(record.data))
    }
}
