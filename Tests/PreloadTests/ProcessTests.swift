import Testing

@Suite(
    "Processes under vfio run share one kernel",
    .enabled(if: Runs.library != nil, Runs.needsLibrary),
    .enabled(if: Runs.compiler != nil, Runs.needsCompiler))
struct ProcessTests {
    private func run(_ scenario: String) throws {
        try Runs.expectSuccess(of: "processes", [scenario, "0000:02:00.0"])
    }

    @Test("a child uses what its parent opened, and the parent sees what it did")
    func childUses() throws { try run("child-uses") }

    @Test("a parent opens what its child, in which the kernel lives, has closed; DMA reaches its memory")
    func childOpens() throws { try run("child-opens") }

    @Test("parent and child call at once, from four threads each")
    func bothAtOnce() throws { try run("both-at-once") }

    @Test("a process that exits or is killed closes what it had open")
    func exitCloses() throws { try run("exit-closes") }

    @Test("a file stays open as long as any process has a copy")
    func copies() throws { try run("copies") }

    @Test("a program that is started inherits an open device")
    func execKeeps() throws { try run("exec-keeps") }

    @Test("descriptors passed between siblings in messages work, with requests, interrupts and DMA")
    func messages() throws { try run("messages") }

    @Test("500 children leave no descriptor and no thread behind")
    func manyForks() throws { try run("many-forks") }
}
