import LinuxSystem

/// The table of `vfio top` on a terminal: redrawn in place, until somebody has seen enough.
struct TopScreen {
    private let source: TopSource
    private let pause: UInt64
    private let count: Int?
    private let signals: SignalDescriptor

    /// - Parameters:
    ///   - pause: how long between two looks, in nanoseconds.
    ///   - count: how many looks; nil for no end.
    ///   - signals: what ends it, and tells of another size.
    init(_ source: TopSource, pause: UInt64, count: Int?, signals: SignalDescriptor) {
        self.source = source
        self.pause = pause
        self.count = count
        self.signals = signals
    }

    // Control sequences of ECMA-48, and the other screen of xterm.
    private static let begin = "\u{1b}[?1049h\u{1b}[?25l"
    private static let end = "\u{1b}[?25h\u{1b}[?1049l"
    private static let home = "\u{1b}[H"
    private static let clearLine = "\u{1b}[K"
    private static let clearBelow = "\u{1b}[J"

    /// Why the loop goes on.
    private enum Event {
        case time
        case redraw
        case quit
    }

    func run() throws {
        // Before the screen is changed: what can't be watched at all is told where it stays.
        var before = try source.read()
        let keys = Terminal.isTerminal(0) ? try? TerminalKeys(of: 0) : nil
        Self.write(Self.begin)
        // The keys' owner puts the terminal back after this.
        defer { withExtendedLifetime(keys) { Self.write(Self.end) } }
        var moment = Clock.now
        var rates = DeviceRates.all(before, since: before, seconds: 1)
        var loss: String?
        var done = 0
        draw(rates, loss)
        while true {
            switch try wait(until: moment &+ pause, keys) {
            case .quit: return
            case .redraw: draw(rates, loss)
            case .time:
                let reading = Clock.now
                do throws(CommandFailure) {
                    let now = try source.read()
                    rates = DeviceRates.all(now, since: before, seconds: Double(reading &- moment) / 1e9)
                    before = now
                    loss = nil
                } catch {
                    // It may come back: a server that is started anew is watched again.
                    loss = source.loss(error)
                }
                moment = reading
                draw(rates, loss)
                done += 1
                if let count, done >= count { return }
            }
        }
    }

    /// Waits for a key, a signal, or the moment.
    private func wait(until deadline: UInt64, _ keys: TerminalKeys?) throws -> Event {
        let poller = try catching("the terminal") { () throws(Errno) in
            let poller = try Poller()
            try poller.add(signals.number, .readable, tag: 0)
            if keys != nil { try poller.add(0, .readable, tag: 1) }
            return poller
        }
        var events: [Poller.Event] = []
        while true {
            let now = Clock.now
            guard now < deadline else { return .time }
            let milliseconds = Int(clamping: (deadline - now + 999_999) / 1_000_000)
            events.removeAll(keepingCapacity: true)
            _ = try? poller.wait(into: &events, milliseconds: milliseconds)
            for event in events {
                if event.tag == 0 {
                    guard let signal = try? signals.take() else { continue }
                    return signal == .resized ? .redraw : .quit
                }
                let pressed = keys?.take() ?? []
                // q, Q, the interrupt key, and the end of what was typed.
                if pressed.isEmpty || pressed.contains(where: { [0x71, 0x51, 0x03, 0x04].contains($0) }) {
                    return .quit
                }
                return .redraw
            }
        }
    }

    /// Draws everything over what is there.
    private func draw(_ rates: [DeviceRates], _ loss: String?) {
        let console = Console()
        let rows = max(5, Terminal.rows(1))
        let columns = console.lineLength ?? 80
        var lines = [console.styled(Self.fitted(source.title, columns), .bold)]
        lines.append(
            loss.map { console.styled(Self.fitted($0, columns), .bad) }
                ?? console.styled(
                    Self.fitted("every \(Human.nanoseconds(pause)); q ends it", columns), .faint))
        lines.append("")
        lines += Self.table(rates, columns: columns).prefix(rows - 4).enumerated().map { index, line in
            index == 0 ? console.styled(line, .faint) : line
        }
        if rates.count > rows - 5 { lines.append("and \(rates.count - (rows - 5)) more") }
        if rates.isEmpty { lines.append("no device yet") }
        Self.write(
            Self.home + lines.prefix(rows).map { $0 + Self.clearLine }.joined(separator: "\r\n")
                + Self.clearBelow)
    }

    /// The rates in columns: on a narrow terminal without those that matter least.
    private static func table(_ rates: [DeviceRates], columns: Int) -> [String] {
        // The source, what is mapped, DMA's count, errors: in this order they are left away.
        let least = [1, 8, 4, 7, 3, 6]
        var shown = Array(DeviceRates.heading.indices)
        var lines: [String] = []
        for missing in 0...least.count {
            if missing > 0 { shown.removeAll { $0 == least[missing - 1] } }
            let numbers = Set(shown.indices.filter { shown[$0] > 1 })
            var table = Table(shown.map { DeviceRates.heading[$0] }, rightAligned: numbers)
            for one in rates {
                let row = one.row
                table.add(shown.map { row[$0] })
            }
            lines = table.lines
            if lines.allSatisfy({ $0.count <= columns }) { break }
        }
        return lines.map { fitted($0, columns) }
    }

    private static func fitted(_ text: String, _ columns: Int) -> String {
        text.count <= columns ? text : text.prefix(max(1, columns - 1)) + "…"
    }

    private static func write(_ text: String) { StandardStream.write(Array(text.utf8), to: 1) }
}
