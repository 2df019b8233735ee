import LinuxSystem
import VFIOABI
import VFIOHost

private let good = Token(from: 0x10)
private let bad = Token(from: 0x11)

/// A.8: the tokens of virtual functions.
let tokenCases: [Case] = [
    Case("A.8", "a virtual function asks for the token that its physical function's user chose", on: .all) {
        t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        t.expect(try t.door(to: physical).trying(good), .descriptor, "the physical function, with a token")
        let door = try t.door(to: virtual[0])
        t.expect(try door.trying(nil), .errno(.accessDenied), "no token")
        t.expect(try door.trying(bad), .errno(.accessDenied), "another token")
        t.expect(try door.trying(good), .descriptor, "the token")
    },
    Case("A.8", "nobody knows the token that a driver begins with", on: .all) { t in
        // Another case's token lasts as long as the driver has the device.
        let (machine, address) = (try t.machine, try t.physicalFunction.address)
        try machine.bind(address, to: nil)
        try machine.bind(address, to: "vfio-pci")
        let (_, virtual) = try t.makeVirtualFunctions(1)
        let door = try t.door(to: virtual[0])
        t.expect(try door.trying(nil), .errno(.accessDenied), "no token")
        t.expect(try door.trying(good), .errno(.accessDenied), "a token")
    },
    Case("A.8", "a physical function asks for the token while a virtual one is in use", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(2)
        let door = try t.door(to: physical)
        try t.require(door.trying(good) == .descriptor ? .success : .errno(.invalid), "choosing a token")
        let user = try t.door(to: virtual[1]).open(good)
        t.expect(user.answer, .descriptor, "a virtual function")
        t.expect(try door.trying(nil), .errno(.accessDenied), "no token")
        t.expect(try door.trying(bad), .errno(.accessDenied), "another token")
        t.expect(try door.trying(good), .descriptor, "the token")
        user.device?.close()
        t.expect(try door.trying(nil), .descriptor, "no token, and no virtual function in use")
        t.expect(try door.trying(bad), .descriptor, "another token, and no virtual function in use")
    },
    Case("A.8", "a physical function's token lasts until another is chosen", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        let (door, user) = (try t.door(to: physical), try t.door(to: virtual[0]))
        t.expect(try door.trying(good), .descriptor, "a token is chosen")
        t.expect(try door.trying(nil), .descriptor, "opened again without one")
        t.expect(try user.trying(good), .descriptor, "it is the same as before")
        t.expect(try door.trying(bad), .descriptor, "another one is chosen")
        t.expect(try user.trying(good), .errno(.accessDenied), "the former one")
        t.expect(try user.trying(bad), .descriptor, "the new one")
    },
    Case("A.8", "a token is taken although the opening fails", on: .groups) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        let group = try t.open(physical.groupNode)
        t.expect(
            t.getDevice(physical.name + good.option, from: group).answer, .errno(.invalid),
            "a group without a container")
        t.expect(try t.door(to: virtual[0]).trying(good), .descriptor, "the token")
    },
    Case("A.8", "a token is looked at before the group's state is", on: .groups) { t in
        let (_, virtual) = try t.makeVirtualFunctions(1)
        let group = try t.open(virtual[0].groupNode)
        t.expect(
            t.getDevice(virtual[0].name, from: group).answer, .errno(.accessDenied),
            "no token, no container")
    },
    Case("A.8", "a token's digits may be upper case, and only the whole text is one", on: .groups) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        let token = Token(from: 0xa8)
        t.expect(try t.door(to: physical).trying(token), .descriptor, "lower case")
        let door = try t.door(to: virtual[0])
        guard let group = door.group else { return }
        let name = virtual[0].name
        t.expect(
            t.getDevice(name + " vf_token=" + token.text.uppercased(), from: group).answer, .descriptor,
            "upper case")
        t.expect(t.getDevice(name + "  \(token.option)  ", from: group).answer, .descriptor, "more spaces")
        for (text, label) in [
            (String(token.option.dropLast()), "one digit short"), (token.option + "0", "one digit more"),
            (token.option + token.option, "twice"), (" vf_token=", "nothing"), (" token=1", "another word"),
        ] { t.expect(t.getDevice(name + text, from: group).answer, .errno(.invalid), label) }
    },
    Case("A.8", "VF_TOKEN chooses the token, whoever uses a virtual function", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        let (_, device) = try t.door(to: physical).open(good)
        guard let device else { throw Halt.broken("the physical function can't be opened") }
        let user = try t.door(to: virtual[0])
        let opened = try user.open(good).device
        t.expect(device.feature(.pciVFToken, .set, payload: bad.bytes), .success, "SET")
        opened?.close()
        t.expect(try user.trying(good), .errno(.accessDenied), "the former token")
        t.expect(try user.trying(bad), .descriptor, "the new one")
    },
    Case("D.11", "VF_TOKEN can be set, not got, and takes 16 bytes", on: .all) { t in
        let (_, device) = try t.door(to: t.physicalFunction).open(nil)
        guard let device else { throw Halt.broken("the physical function can't be opened") }
        t.expect(device.feature(.pciVFToken, [.probe, .set]), .success, "PROBE, SET")
        t.expect(device.feature(.pciVFToken, [.probe, .get]), .errno(.invalid), "PROBE, GET")
        t.expect(device.feature(.pciVFToken, .get, payload: good.bytes), .errno(.invalid), "GET")
        t.expect(
            device.feature(.pciVFToken, .set, payload: Array(good.bytes.dropLast())), .errno(.invalid),
            "15 bytes")
        let buffer = try t.buffer(atEndOfPage: 23)
        buffer.store(DeviceFeature(argsz: 24, flags: FeatureFlags(.pciVFToken, .set)))
        t.expect(device.request(.deviceFeature, buffer), .errno(.badAddress), "15 of 16 bytes")
    },
    Case("D.11", "VF_TOKEN isn't for virtual functions", on: .all) { t in
        let (physical, virtual) = try t.makeVirtualFunctions(1)
        t.expect(try t.door(to: physical).trying(good), .descriptor, "a token is chosen")
        let (_, device) = try t.door(to: virtual[0]).open(good)
        guard let device else { throw Halt.broken("the virtual function can't be opened") }
        t.expect(device.feature(.pciVFToken, .set, payload: bad.bytes), .errno(.noSuchRequest), "SET")
    },
]
