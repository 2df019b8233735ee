import Testing

@Suite("vfio --fault")
struct FaultOptionTests {
    @Test("lets things go wrong on a software machine, and the command says what")
    func fault() throws {
        let good = try vfio("inspect", "0000:01:00.0", "--host", "soft")
        #expect(good.code == 0)
        let bad = try vfio(
            "inspect", "0000:01:00.0", "--host", "soft", "--route", "group", "--fault",
            "set-iommu=EPERM")
        #expect(bad.code == 1)
        #expect(bad.errors.contains("EPERM"), "\(bad.errors)")
        let other = try vfio(
            "inspect", "0000:01:00.0", "--host", "soft", "--route", "group", "--fault", "set-iommu=EPERM@2",
            "--seed", "3")
        #expect(other.code == 0)
    }

    @Test("that can't be read, or for this machine's own kernel, is wrong usage")
    func wrong() throws {
        let text = try vfio("list", "--host", "soft", "--fault", "mop-dma=EIO")
        #expect(text.code == 2 && text.errors.contains("mop-dma"), "\(text.errors)")
        let real = try vfio("list", "--fault", "map-dma=EIO")
        #expect(real.code == 2 && real.errors.contains("--host soft"), "\(real.errors)")
    }

    @Test("makes the answers of a conforming machine different, as a case by case comparison shows")
    func conform() throws {
        let cases = ["conform", "--host", "soft", "--filter", "A.3"]
        #expect(try vfio(cases).code == 0)
        let bad = try vfio(cases + ["--fault", "check-extension=EIO", "--seed", "5"])
        #expect(bad.code == 1 && bad.output.contains("EIO"), "\(bad.output) \(bad.errors)")
        let wrong = try vfio("conform", "--fault", "map-dma=EIO")
        #expect(wrong.code == 2 && wrong.errors.contains("--host soft"), "\(wrong.errors)")
        let seed = try vfio("conform", "--host", "linux", "--seed", "5")
        #expect(seed.code == 2 && seed.errors.contains("--host soft"), "\(seed.errors)")
    }

    @Test("lets the demo fail where it was told to, and says how")
    func demo() throws {
        let scratch = try Scratch()
        let image = try scratch.image()
        let bad = try vfio("demo", "--image", image, "--fault", "set-iommu=EPERM@2", "--seed", "5")
        #expect(bad.code == 1 && bad.errors.contains("EPERM"), "\(bad.errors)")
        // The second opening failed: what came before it went well.
        #expect(bad.output.contains("Written") && !bad.output.contains("Opened again"), "\(bad.output)")
        let wrong = try vfio("demo", "--fault", "set-iommu=WHAT")
        #expect(wrong.code == 2 && wrong.errors.contains("WHAT"), "\(wrong.errors)")
    }

    @Test("is said in a machine's file as well")
    func file() throws {
        let scratch = try Scratch()
        let path = try scratch.file(
            "machine.json",
            """
            { "groups": [ { "number": 26, "devices": [ { "address": "0000:01:00.0", "model": "edu" } ] } ],
              "faults": ["open:node=/dev/vfio/26=EMFILE"], "seed": 7 }
            """)
        let refused = try vfio("inspect", "0000:01:00.0", "--machine", path, "--route", "group")
        #expect(refused.code == 1 && refused.errors.contains("EMFILE"), "\(refused.errors)")
        let wrong = try scratch.file("wrong.json", "{ \"faults\": [\"open=WHAT\"] }")
        let outcome = try vfio("list", "--machine", wrong)
        #expect(outcome.code == 2 && outcome.errors.contains("WHAT"), "\(outcome.errors)")
    }
}
