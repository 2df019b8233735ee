import Testing

@testable import VFIOCommand

@Suite("Mistakes in typing verbs")
struct NearestVerbTests {
    @Test("The verb that was nearly typed is named, and the exit code is that of wrong usage")
    func near() throws {
        for (typed, meant) in [
            (["lst"], "vfio list"), (["isnpect"], "vfio inspect"), (["Doctor"], "vfio doctor"),
            (["nvme", "idnetify"], "vfio nvme identify"), (["trace", "shwo"], "vfio trace show"),
            (["mdev", "creat"], "vfio mdev create"), (["conf"], "vfio conform"),
        ] {
            let outcome = try vfio(typed)
            #expect(outcome.code == 2)
            #expect(outcome.errors.contains("did you mean '\(meant)'"), "\(typed): \(outcome.errors)")
        }
    }

    @Test("A word that is like no verb gets the list of verbs, without codes of its own")
    func far() throws {
        let outcome = try vfio("x\u{1b}[31mylophone")
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains("list, doctor, inspect"), "\(outcome.errors)")
        #expect(!outcome.errors.contains("\u{1b}"))
    }

    @Test("Other mistakes are told as before")
    func others() throws {
        #expect(NearestVerb.complaint(about: ["list", "--hots", "soft"], of: VFIOCommand.self) == nil)
        #expect(NearestVerb.complaint(about: ["--hots"], of: VFIOCommand.self) == nil)
        #expect(try vfio("list", "--hots", "soft").errors.contains("--host"))
    }

    @Test("Letters put in, left out, replaced and exchanged count one each")
    func distances() {
        for (first, second, distance) in [
            ("", "", 0), ("", "abc", 3), ("list", "list", 0), ("lst", "list", 1), ("lits", "list", 1),
            ("lust", "list", 1), ("", "", 0), ("kitten", "sitting", 3), ("abc", "", 3),
        ] {
            #expect(NearestVerb.distance(first, second) == distance, "\(first) \(second)")
        }
    }
}
