import LinuxSystem
import VFIOABI
import VFIOHost

/// G.6: how mediated devices come and go, and how they are opened.
let mediatedLifeCases: [Case] = [
    Case("G.6", "a mediated device is made by a UUID, which it is called by") { t in
        let maker = try t.mediatedDevices
        try t.makeMediated("mtty-1")
        func create(_ text: String, _ type: String = "mtty-1") -> Answer {
            .of { () throws(Errno) in try maker.create(text, type) }
        }
        let name = Trial.mediatedNames[1]
        t.expect(create(Trial.mediatedNames[0]), .errno(.exists), "the same again")
        t.expect(create(Trial.mediatedNames[0], "mtty-2"), .errno(.exists), "the same of another type")
        t.expect(create(""), .success, "nothing: never gets to the driver")
        t.expect(create(String(name.dropLast())), .errno(.invalid), "35 characters")
        t.expect(create(name + "\n\n"), .errno(.invalid), "38 characters")
        t.expect(create(name.replacing("-", with: "_")), .errno(.invalid), "no UUID")
        t.expect(create("{" + name.dropLast()), .errno(.invalid), "a UUID in the wrong place")
        t.expect(create(name, "mtty-9"), .errno(.noSuchEntry), "no such type")
        t.expect(create(name.uppercased() + "\n"), .success, "in capitals, with a newline")
        t.atEnd { try? maker.removeMediatedDevice(name) }
        t.expect(try t.summary(ofMediated: name).driver?.name ?? "none", equals: "mtty", "its driver")
        t.expect(.of { () throws(Errno) in try maker.removeMediatedDevice(name) }, .success, "remove")
        t.expect(
            try !t.inventory.otherDevices.contains { $0.id.name == name }, "it is gone")
        t.expect(
            .of { () throws(Errno) in try maker.removeMediatedDevice(name) }, .errno(.noSuchEntry),
            "remove again")
    },
    Case("G.6", "each device takes from what there is for its type") { t in
        let maker = try t.mediatedDevices
        try t.makeMediated("mtty-1")
        t.expect(
            try maker.mediatedParents().flatMap(\.types).first { $0.name == "mtty-1" }?.interface ?? "none",
            equals: DeviceAPI.pci, "what comes of it")
        t.expect(try maker.instances(of: "mtty-1"), equals: 23, "single ports")
        t.expect(try maker.instances(of: "mtty-2"), equals: 11, "double ports")
        try t.makeMediated("mtty-2", named: Trial.mediatedNames[1])
        t.expect(try maker.instances(of: "mtty-1"), equals: 21, "single ports")
    },
    Case("G.6", "when nothing is left, the driver says so in its own way") { t in
        let maker = try t.mediatedDevices
        for index in 0..<4 { try t.makeMediated("mdpy-vga", named: Trial.mediatedNames[index]) }
        t.expect(try maker.instances(of: "mdpy-hd"), equals: 0, "displays left")
        t.expect(
            .of { () throws(Errno) in
                try maker.create(Trial.mediatedNames[4], "mdpy-hd")
            }, .errno(.tooManyUsers), "a fifth display")
    },
    Case("G.6", "when too little memory is left, the probe's error is told") { t in
        let maker = try t.mediatedDevices
        for index in 0..<4 { try t.makeMediated("mbochs-large", named: Trial.mediatedNames[index]) }
        t.expect(try maker.instances(of: "mbochs-small"), equals: 0, "displays left")
        t.expect(
            .of { () throws(Errno) in
                try maker.create(Trial.mediatedNames[4], "mbochs-small")
            }, .errno(.noSpace), "a fifth")
    },
    Case("G.6", "a mediated device is asked for by its UUID, in a group of its own that is viable") { t in
        try t.makeMediated("mtty-1")
        let place = try t.summary(ofMediated: Trial.mediatedNames[0])
        let container = try t.open(.container)
        let group = try t.open(.group(place.group ?? -1))
        var status = GroupStatus()
        t.expect(group.request(.groupGetStatus, &status), .success, "GET_STATUS")
        t.expect(status.flags == .viable, "viable, and nothing else")
        t.expect(t.getDevice(Trial.mediatedNames[0], from: group).answer, .errno(.invalid), "no container")
        try t.require(group.request(.groupSetContainer, container.number), "SET_CONTAINER")
        try t.require(container.request(.setIOMMU, IOMMUType.type1v2.rawValue), "SET_IOMMU")
        t.expect(t.getDevice(Trial.mediatedNames[1], from: group).answer, .errno(.noDevice), "another UUID")
        t.expect(
            t.getDevice(Trial.mediatedNames[0].uppercased(), from: group).answer, .errno(.noDevice),
            "in capitals")
        t.expect(t.getDevice(Trial.mediatedNames[0], from: group).answer, .descriptor, "its UUID")
    },
    Case("G.6", "a mediated device that is open stays until it is closed") { t in
        let maker = try t.mediatedDevices
        try t.makeMediated("mtty-1")
        let bench = try t.openMediated()
        let name = bench.name
        let errand = try t.aside { () throws(Errno) in try maker.removeMediatedDevice(name) }
        t.expect(errand.wait(milliseconds: 300) == nil, "removing waits")
        t.expect(bench.device.request(.deviceReset), .success, "it works still")
        t.closeAll()
        t.expect(errand.wait() == .success, "removed")
    },
    Case(
        "G.6", "a mediated device is bound to an iommufd by its node, and attached to an address space",
        on: .cdev
    ) {
        t in
        try t.makeMediated("mtty-1")
        let place = try t.summary(ofMediated: Trial.mediatedNames[0])
        guard let node = place.deviceNode else { throw t.skip("it has no node") }
        let iommufd = try t.open(.iommu)
        let device = try t.open(.device(node))
        t.expect(device.request(.deviceReset), .errno(.invalid), "not bound yet")
        var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
        t.expect(device.request(.deviceBindIOMMUFD, &bind), .success, "BIND")
        t.expect(device.request(.deviceReset), .success, "it works")
        var ioas = IOASAlloc()
        try t.require(iommufd.request(.ioasAlloc, &ioas), "IOAS_ALLOC")
        var attach = DeviceAttachIOMMUFDPageTable(pageTableID: 999)
        t.expect(device.request(.deviceAttachIOMMUFD, &attach), .errno(.noSuchEntry), "ATTACH to nothing")
        attach.pageTableID = bind.deviceID
        t.expect(device.request(.deviceAttachIOMMUFD, &attach), .errno(.noSuchEntry), "ATTACH to a device")
        attach.pageTableID = ioas.ioasID
        t.expect(device.request(.deviceAttachIOMMUFD, &attach), .success, "ATTACH")
        t.expect(attach.pageTableID == ioas.ioasID, "no page table is made: the address space itself")
        t.expect(
            iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: ioas.ioasID)), .errno(.busy),
            "DESTROY the address space")
        var detach = DeviceDetachIOMMUFDPageTable()
        t.expect(device.request(.deviceDetachIOMMUFD, &detach), .success, "DETACH")
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: ioas.ioasID)), .success, "DESTROY")
    },
]
