import LinuxSystem
import VFIOABI
import VFIOHost

/// A.6: the name that GET_DEVICE_FD takes, and what is looked at before it and after.
let deviceNameCases: [Case] = [
    Case("A.6", "a device goes by its whole name", on: .groups) { t in
        let record = try t.anyDevice
        let group = try t.attach(record).group
        let name = record.name
        t.expect(t.getDevice(name, from: group).answer, .descriptor, "its name")
        for (text, label) in [
            ("", "nothing"), (" ", "a space"), (" " + name, "a space before it"),
            (String(name.dropLast()), "one short"),
            (name + "0", "one more"), (String(name.dropFirst(5)), "without the domain"),
            (name + "\t", "a tab behind it"),
            (name + "\n", "a new line behind it"), ("vfio-pci", "its driver"),
            ("ffff:ff:1f.7", "another device"),
        ] { t.expect(t.getDevice(text, from: group).answer, .errno(.noDevice), label) }
    },
    Case("A.6", "spaces behind a name mean nothing", on: .groups) { t in
        let record = try t.anyDevice
        let group = try t.attach(record).group
        for count in [1, 2, 100] {
            let text = record.name + String(repeating: " ", count: count)
            t.expect(t.getDevice(text, from: group).answer, .descriptor, "\(count)")
        }
    },
    Case("A.6", "a name may end with its page, and must end within it", on: .groups) { t in
        let record = try t.anyDevice
        let group = try t.attach(record).group
        let name = Array(record.name.utf8)
        let whole = try t.buffer(atEndOfPage: name.count + 1)
        whole.bytes = name + [0]
        let answer = group.request(.groupGetDeviceFD, whole)
        if case .value(let number) = answer { _ = t.adopt(number) }
        t.expect(answer.isDescriptor, "its zero is the last byte of a page")
        let cut = try t.buffer(atEndOfPage: name.count)
        cut.bytes = name
        t.expect(group.request(.groupGetDeviceFD, cut), .errno(.badAddress), "its zero is in the next page")
        t.expect(group.request(.groupGetDeviceFD, 0), .errno(.badAddress), "no address")
    },
    Case("A.6", "a name has at most a page, its end included", on: .groups) { t in
        let record = try t.anyDevice
        let group = try t.attach(record).group
        func padded(_ count: Int) -> String {
            record.name + String(repeating: " ", count: count - record.name.utf8.count)
        }
        t.expect(t.getDevice(padded(4095), from: group).answer, .descriptor, "4095 characters")
        t.expect(t.getDevice(padded(4096), from: group).answer, .errno(.invalid), "4096 characters")
        let long = try t.buffer(2 * pageSize)
        long.fill(UInt8(ascii: "x"))
        t.expect(group.request(.groupGetDeviceFD, long), .errno(.invalid), "no end at all")
    },
    Case("A.6", "a name is looked up before the group's state is", on: .groups) { t in
        let record = try t.anyDevice
        let group = try t.open(record.groupNode)
        t.expect(group.request(.groupGetDeviceFD, 0), .errno(.badAddress), "no address")
        t.expect(
            t.getDevice(String(repeating: "x", count: 4096), from: group).answer, .errno(.invalid),
            "a long name")
        t.expect(t.getDevice("0000:ff:1f.7", from: group).answer, .errno(.noDevice), "an unknown name")
        t.expect(t.getDevice(record.name + " x", from: group).answer, .errno(.invalid), "an unknown option")
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.invalid), "the right name")
    },
    Case(
        "A.6", "a process without descriptors left is told after the name's lookup, before all else",
        on: .containers
    ) {
        t in
        let (record, other) = try t.twoDevices
        let machine = try t.machine
        let attached = try t.attach(record)
        var answers: [Answer] = []
        do throws(Errno) {
            try machine.setDescriptorLimit(0)
        } catch {
            throw t.skip("the number of descriptors can't be limited: \(error.name)")
        }
        answers.append(t.getDevice(record.name, from: attached.group).answer)
        answers.append(t.getDevice("0000:ff:1f.7", from: attached.group).answer)
        answers.append(t.opening(.container))
        answers.append(t.opening(record.groupNode))
        try machine.setDescriptorLimit(nil)
        t.expect(answers[0], .errno(.tooManyDescriptors), "the device")
        t.expect(answers[1], .errno(.noDevice), "an unknown name")
        t.expect(answers[2], .errno(.tooManyDescriptors), "a container")
        t.expect(answers[3], .errno(.tooManyDescriptors), "a group that is open")
        t.expect(attached.group.request(.groupUnsetContainer), .success, "nothing is open afterwards")
        let group = try t.open(other.groupNode)
        try machine.setDescriptorLimit(0)
        let early = t.getDevice(other.name, from: group).answer
        try machine.setDescriptorLimit(nil)
        t.expect(early, .errno(.tooManyDescriptors), "a group without a container")
    },
    Case(
        "A.6", "handles of one device share it: what is written through one is read through the other",
        on: .groups
    ) {
        t in
        let setup = try t.setUp(t.anyDevice)
        guard let group = setup.group, let second = t.getDevice(setup.record.name, from: group).file else {
            throw Halt.broken("a second handle")
        }
        let configuration = try t.region(.config, of: setup.device).offset
        let line = configuration + 0x3c
        let old = try setup.device.load(UInt8.self, at: line)
        t.expect(setup.device.store(old ^ 0x5a, at: line), .value(1), "writing the interrupt line")
        t.expect(try second.load(UInt8.self, at: line) == old ^ 0x5a, "reading it through the second handle")
        setup.device.close()
        t.expect(try second.load(UInt8.self, at: line) == old ^ 0x5a, "and after the first one's closing")
    },
]

extension Answer {
    /// Whether it is a number that a descriptor could have.
    fileprivate var isDescriptor: Bool {
        if case .value(let number) = self { number > 2 } else { false }
    }
}
