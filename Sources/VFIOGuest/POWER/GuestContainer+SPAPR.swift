import VFIO

extension GuestContainer {
    /// On a POWER machine with windows that can be changed: registers the guest's RAM, removes the default window, and
    /// lets the mapper make one for each section. Nothing is mapped yet.
    /// - Throws: the first thing that was refused. ``endWindows()`` undoes the rest.
    func startWindows() throws(VFIOGuestError) {
        guard let tce = iommu.tce, tce.version == 2 else { return }
        let registrar = RAMRegistrar(tce) { [unowned mapper] section, error in mapper.failed(section, error) }
        self.registrar = registrar
        try systemMemory.register(registrar)
        if let error = mapper.firstError { throw error }
        for window in tce.windows { try tce.remove(window) }
        mapper.sectionWindows = SectionWindows(tce) { [unowned registrar] in registrar.shortestPage }
    }

    /// Unregisters the guest's RAM, after everything has been unmapped.
    func endWindows() {
        mapper.sectionWindows = nil
        if let registrar { systemMemory.unregister(registrar) }
        registrar = nil
    }
}
