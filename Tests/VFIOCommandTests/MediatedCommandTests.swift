import Foundation
import Testing

@testable import VFIOCommand

@Suite("Mediated devices on the command line")
struct MediatedCommandTests {
    private let display = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"
    private let serial = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a02"

    @Test("What a display shows is saved as a PNG file", arguments: ["group", "cdev"])
    func screenshot(route: String) throws {
        let scratch = try Scratch()
        let path = scratch.path + "/shot.png"
        let outcome = try vfio(
            "inspect", "--host", "soft", "--route", route, display, "--screenshot", path)
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("640 by 480"))
        let file = [UInt8](try Data(contentsOf: URL(filePath: path)))
        #expect(file.starts(with: [0x89, 0x50, 0x4e, 0x47]))
        #expect(Array(file[16..<24]) == [0, 0, 2, 128, 0, 0, 1, 224])
        // 480 lines of 640 pixels, each line with its filter, and what PNG puts around them.
        #expect(file.count > 480 * (640 * 3 + 1))
    }

    @Test("A device that isn't a display has no picture, and no file is made")
    func noPicture() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/shot.png"
        let outcome = try vfio("inspect", "--host", "soft", serial, "--screenshot", path)
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("isn't a display"))
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("A serial card is inspected as any PCI device")
    func inspect() throws {
        let outcome = try vfio("inspect", "--host", "soft", "--json", serial)
        #expect(outcome.code == 0, "\(outcome.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(report["address"] as? String == serial)
        #expect(report["vendor"] as? String == "4348")
        #expect((report["interrupts"] as? [[String: Any]])?.count == 2)
    }

    @Test("The types that can be made are listed; a machine file says what there is from the start")
    func types() throws {
        let scratch = try Scratch()
        let machine = try scratch.file(
            "machine.json", Data(#"{"mediated": [{"uuid": "\#(display)", "type": "mbochs-medium"}]}"#.utf8))
        let listed = try vfio("mdev", "--machine", machine, "--json")
        #expect(listed.code == 0, "\(listed.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(listed.output.utf8)) as? [String: Any])
        let types = try #require(report["types"] as? [[String: Any]])
        let counts = Dictionary(
            uniqueKeysWithValues: types.compactMap { type in
                (type["type"] as? String).flatMap { name in
                    (type["available"] as? Int).map { (name, $0) }
                }
            })
        #expect(counts["mbochs-medium"] == 15 && counts["mtty-2"] == 12 && counts["mdpy-vga"] == 4)
        let shot = try vfio(
            "inspect", "--machine", machine, display, "--screenshot", scratch.path + "/shot.png")
        #expect(shot.code == 1 && shot.errors.contains("shows nothing now"))
        let wrong = try scratch.file(
            "wrong.json", Data(#"{"mediated": [{"uuid": "\#(display)", "type": "mtty-7"}]}"#.utf8))
        #expect(try vfio("mdev", "--machine", wrong).code == 2)
    }

    @Test("A mediated device is made where there is a type for it, under a name that is free")
    func create() throws {
        let other = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a09"
        func create(_ arguments: String...) throws -> Outcome {
            try vfio(["mdev", "create", "--host", "soft"] + arguments)
        }
        #expect(try create("mtty", "mtty-1", other).output.contains("is there"))
        #expect(try create("mtty", "mtty-1", other, "--dry-run").output.contains("would make"))
        let taken = try create("mtty", "mtty-1", serial)
        #expect(taken.code == 1 && taken.errors.contains("that name already"))
        #expect(try create("mtty", "mtty-9", other).code == 1)
        #expect(try create("mtty", "mtty-1", "nonsense").code == 2)
        #expect(try vfio("mdev", "remove", "--host", "soft", serial).output.contains("is gone"))
        #expect(try vfio("mdev", "remove", "--host", "soft", other).code == 1)
    }
}
