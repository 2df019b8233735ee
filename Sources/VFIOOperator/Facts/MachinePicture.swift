import PCIDecoder
import VFIOHost

/// A picture of a machine's devices: the processes that hold something on the left, the IOMMU groups with their devices
/// and drivers on the right, lines between who holds and what is held.
public struct MachinePicture: Sendable {
    /// The picture: an SVG file that needs no other.
    public let svg: String
    /// What is in it: "3 groups, 5 devices, 1 process".
    public let summary: String

    /// Draws a machine.
    /// - Parameters:
    ///   - machine: its facts.
    ///   - shown: the devices to draw, with all that is in their groups.
    ///   - names: what vendors and devices are called.
    public init(of machine: MachineFacts, showing shown: [DeviceFacts], names: PCINames) {
        var drawing = MachineDrawing(machine, names)
        drawing.draw(shown)
        svg = drawing.canvas.document(width: drawing.width, height: drawing.height, title: "VFIO devices")
        func count(_ number: Int, _ one: String, _ many: String) -> String {
            "\(number) \(number == 1 ? one : many)"
        }
        summary = [
            count(drawing.groups, "group", "groups"), count(drawing.devices, "device", "devices"),
            count(drawing.processes, "process", "processes"),
        ].joined(separator: ", ")
    }
}

/// The drawing of a machine, from the top down.
private struct MachineDrawing {
    private static let margin = 24
    private static let processWidth = 280
    private static let gap = 120
    private static let groupWidth = 820
    private static let rowHeight = 46
    private static let headHeight = 34
    /// The most descriptors that are drawn of one process.
    private static let mostRows = 24

    let machine: MachineFacts
    let names: PCINames
    var canvas = SVGCanvas()
    var height = 0
    private(set) var (groups, devices, processes) = (0, 0, 0)
    /// Where a line to a group ends, by its number.
    private var groupPlaces: [Int: Int] = [:]
    /// Where a line to a device ends.
    private var devicePlaces: [DeviceID: Int] = [:]

    private let held: [Holders.Entry]
    private var hasProcesses: Bool { !held.isEmpty }
    private var left: Int { Self.margin + (hasProcesses ? Self.processWidth + Self.gap : 0) }
    var width: Int { left + Self.groupWidth + Self.margin }

    init(_ machine: MachineFacts, _ names: PCINames) {
        self.machine = machine
        self.names = names
        held = machine.holders.entries
    }

    mutating func draw(_ shown: [DeviceFacts]) {
        canvas.text("VFIO devices", x: Self.margin, y: 38, .title)
        canvas.text(subtitle, x: Self.margin, y: 60, .small)
        var y = 80
        let numbers = Set(shown.compactMap(\.summary.group)).sorted()
        for number in numbers {
            y = drawGroup(number, machine.members(ofGroup: number), at: y) + 16
        }
        let alone = shown.filter { $0.summary.group == nil }
        if !alone.isEmpty { y = drawGroup(nil, alone, at: y) + 16 }
        if shown.isEmpty {
            canvas.text("no devices", x: left, y: y + 20, .body)
            y += 40
        }
        let bottom = drawProcesses(at: 80)
        y = max(y, bottom)
        height = drawLegend(at: y + 8) + Self.margin
    }

    private var subtitle: String {
        let nodes = [
            machine.inventory.hasContainers ? "/dev/vfio/vfio is there" : "no /dev/vfio/vfio",
            machine.inventory.hasIOMMUFD ? "/dev/iommu is there" : "no /dev/iommu",
        ]
        return (nodes + [machine.holdersNote].compactMap { $0 }).joined(separator: " · ")
    }

    // MARK: groups

    private mutating func drawGroup(_ number: Int?, _ members: [DeviceFacts], at top: Int) -> Int {
        let bodyHeight = Self.headHeight + members.count * Self.rowHeight + 8
        let state = number.map { machine.words(forGroup: $0) } ?? ""
        let blocked = number.map { !machine.inventory.blockers(ofGroup: $0).isEmpty } ?? true
        let isHeld = members.contains { !machine.holders(of: $0).isEmpty }
        let isVFIO = members.contains { $0.summary.driver?.isVFIO == true }
        canvas.box(
            x: left, y: top, width: Self.groupWidth, height: bodyHeight,
            isVFIO ? (isHeld ? .heldGroup : blocked ? .blockedGroup : .readyGroup) : .plainGroup)
        canvas.text(
            number.map { "group \($0)" } ?? "no IOMMU group", x: left + 14, y: top + 22, .strong)
        if let number, let group = machine.inventory.group(number) {
            let facts = [group.domainType, group.isUnprotected ? "no IOMMU" : nil].compactMap { $0 }
            canvas.text(facts.joined(separator: ", "), x: left + 120, y: top + 22, .small, to: 20)
        }
        canvas.text(state, x: left + Self.groupWidth - 14, y: top + 22, .smallRight, to: 88)
        if let number {
            groups += 1
            groupPlaces[number] = top + 17
        }
        var y = top + Self.headHeight
        for device in members {
            drawDevice(device, at: y)
            y += Self.rowHeight
        }
        return top + bodyHeight
    }

    private mutating func drawDevice(_ device: DeviceFacts, at y: Int) {
        devices += 1
        devicePlaces[device.id] = y + 20
        let x = left + 10
        canvas.box(x: x, y: y, width: Self.groupWidth - 20, height: Self.rowHeight - 6, .device)
        canvas.text(device.id.name, x: x + 12, y: y + 17, .mono, to: 38)
        let kind = device.record.map { PCIClass.name($0.classCode) } ?? "\(device.id.bus.name) device"
        canvas.text(kind, x: x + 24 + min(38, device.id.name.count) * 8, y: y + 17, .small, to: 24)
        if let record = device.record {
            let numbers = "\(hexadecimal(record.vendor, digits: 4)):\(hexadecimal(record.device, digits: 4))"
            canvas.text(record.title(names) ?? numbers, x: x + 12, y: y + 33, .small, to: 62)
        } else if let type = device.mediatedType {
            canvas.text(type, x: x + 12, y: y + 33, .small, to: 62)
        }
        let driver = device.summary.driver
        let style: SVGCanvas.Box =
            driver == nil
            ? .noDriver
            : driver?.isVFIO == true
                ? .vfioDriver : driver?.letsGroupBeUsed == true ? .otherDriver : .kernelDriver
        canvas.box(x: x + 480, y: y + 8, width: 140, height: 24, style)
        canvas.text(driver?.name ?? "no driver", x: x + 550, y: y + 24, .centred, to: 18)
        let made = device.networkInterfaces + device.disks
        let facts: String
        if let node = device.summary.deviceNode {
            facts = "vfio\(node)"
        } else if driver?.isVFIO == true, let node = device.summary.group.flatMap({ machine.groupNodes[$0] })
        {
            facts = "/dev/\(node.path)"
        } else {
            facts = made.joined(separator: ", ")
        }
        canvas.text(facts, x: x + Self.groupWidth - 34, y: y + 24, .monoRight, to: 22)
    }

    // MARK: processes

    /// Draws who holds something, with a line to each thing that is in the picture: each about as high as what it holds.
    private mutating func drawProcesses(at top: Int) -> Int {
        let boxes = Dictionary(grouping: held, by: \.holder.process).map { process, entries in
            let ends = entries.compactMap { end(of: $0.held)?.y }
            return (
                process: process, entries: entries,
                middle: ends.isEmpty ? 0 : ends.reduce(0, +) / ends.count
            )
        }.sorted { ($0.middle, $0.process) < ($1.middle, $1.process) }
        var y = top
        for box in boxes {
            let rows = min(box.entries.count, Self.mostRows)
            let height = 42 + (rows + (box.entries.count > rows ? 1 : 0)) * 20
            y = max(y, box.middle - height / 2)
            drawProcess(box.process, box.entries, at: y, height: height)
            y += height + 16
        }
        return y
    }

    private mutating func drawProcess(
        _ process: Int32, _ entries: [Holders.Entry], at y: Int, height: Int
    ) {
        processes += 1
        canvas.box(x: Self.margin, y: y, width: Self.processWidth, height: height, .process)
        let name = entries.first?.holder.name ?? "?"
        let x = Self.margin + 12
        canvas.text("\(name) (\(process))", x: x, y: y + 22, .strong, to: 32)
        var place = y + 48
        for entry in entries.prefix(Self.mostRows) {
            if entry.held == .node(.container) || entry.held == .node(.iommu) {
                canvas.box(
                    x: Self.margin + 6, y: place - 14, width: Self.processWidth - 12, height: 19, .context)
            }
            canvas.text(
                "\(Self.words(for: entry.held)), descriptor \(entry.holder.descriptor)", x: x, y: place,
                .small)
            if let end = end(of: entry.held) {
                canvas.line(
                    fromX: Self.margin + Self.processWidth, fromY: place - 4, toX: left + end.indent,
                    toY: end.y)
            }
            place += 20
        }
        if entries.count > Self.mostRows {
            canvas.text("and \(entries.count - Self.mostRows) more", x: x, y: place, .small)
        }
    }

    private func end(of held: Holders.Held) -> (y: Int, indent: Int)? {
        switch held {
        case .node(.group(let number)), .node(.unprotectedGroup(let number)):
            return groupPlaces[number].map { ($0, 0) }
        case .node(.device(let number)):
            let device = machine.devices.first { $0.summary.deviceNode == number }
            return device.flatMap { devicePlaces[$0.id] }.map { ($0, 10) }
        case .device(let name):
            let device = machine.devices.first { $0.id.name == name }
            return device.flatMap { devicePlaces[$0.id] }.map { ($0, 10) }
        default: return nil
        }
    }

    private static func words(for held: Holders.Held) -> String {
        switch held {
        case .node(.container): "container"
        case .node(.iommu): "iommufd"
        case .node(.group(let number)), .node(.unprotectedGroup(let number)): "group \(number)"
        case .node(.device(let number)): "device vfio\(number)"
        case .device(let name): "device " + PrintableText.of(name.utf8, limit: 24)
        case .unknownDevice: "a device"
        }
    }

    // MARK: legend

    private mutating func drawLegend(at y: Int) -> Int {
        var x = left
        for (style, words) in [
            (SVGCanvas.Box.vfioDriver, "VFIO driver"), (.kernelDriver, "keeps its group from VFIO"),
            (.otherDriver, "driver that blocks nothing"), (.noDriver, "no driver"),
        ] {
            canvas.box(x: x, y: y, width: 20, height: 14, style)
            canvas.text(words, x: x + 28, y: y + 11, .small)
            x += 60 + words.utf8.count * 7
        }
        return y + 14
    }
}
