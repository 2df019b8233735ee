import LinuxSystem

extension MemoryRegion {
    /// Makes another region a part of this one.
    /// - Parameters:
    ///   - child: in no region yet.
    ///   - offset: where it begins in this region; what reaches beyond this region's end isn't seen.
    ///   - priority: where children overlap, the higher one is seen.
    /// - Throws: ``GuestMemoryError/hasParent(_:)``, ``GuestMemoryError/cycle(_:)``,
    ///   ``GuestMemoryError/foreignRegion(_:)``, ``GuestMemoryError/beyondEnd(_:)``, ``GuestMemoryError/wrongKind(_:)`` for an alias,
    ///   which has no children.
    public func add(_ child: MemoryRegion, at offset: UInt64, priority: Int = 0) throws(GuestMemoryError) {
        guard child.memory === memory else { throw .foreignRegion(child.name) }
        try memory.change { () throws(GuestMemoryError) in
            if case .alias = kind { throw .wrongKind(name) }
            guard child.parentOrNil == nil else { throw .hasParent(child.name) }
            guard !child.reaches(self) else { throw .cycle(child.name) }
            guard !offset.addingReportingOverflow(child.length).overflow else { throw .beyondEnd(child.name) }
            memory.serial += 1
            child.placement = Placement(offset: offset, priority: priority, serial: memory.serial)
            child.parentOrNil = self
            children.insert(child)
            child.changed()
        }
    }

    /// Takes a child out.
    /// - Throws: ``GuestMemoryError/notChild(_:)``.
    public func remove(_ child: MemoryRegion) throws(GuestMemoryError) {
        try memory.change { () throws(GuestMemoryError) in
            guard child.parentOrNil === self else { throw .notChild(child.name) }
            child.changed()
            children.remove(child)
            child.parentOrNil = nil
        }
    }

    /// Moves the region within its parent; among equals it then counts as the one added last.
    /// - Throws: ``GuestMemoryError/notChild(_:)`` if it is in no region; ``GuestMemoryError/beyondEnd(_:)``.
    public func move(to offset: UInt64) throws(GuestMemoryError) {
        try memory.change { () throws(GuestMemoryError) in
            guard let parent = parentOrNil else { throw .notChild(name) }
            guard !offset.addingReportingOverflow(length).overflow else { throw .beyondEnd(name) }
            guard placement.offset != offset else { return }
            changed()
            parent.children.remove(self)
            memory.serial += 1
            placement.offset = offset
            placement.serial = memory.serial
            parent.children.insert(self)
            changed()
        }
    }

    /// Changes the region's length.
    /// - Throws: ``GuestMemoryError/badLength(_:)``, ``GuestMemoryError/beyondEnd(_:)``.
    public func setByteCount(_ byteCount: UInt128) throws(GuestMemoryError) {
        let most = block.map { UInt128($0.byteCount) } ?? 1 << 64
        guard byteCount > 0, byteCount <= most else { throw .badLength(name) }
        let new = UInt64(byteCount - 1)
        try memory.change { () throws(GuestMemoryError) in
            guard new != length else { return }
            guard !placement.offset.addingReportingOverflow(new).overflow else { throw .beyondEnd(name) }
            let parent = parentOrNil
            if new < length { changed() }
            parent?.children.remove(self)
            let isGrowing = new > length
            length = new
            parent?.children.insert(self)
            if isGrowing { changed() }
        }
    }

    /// Lets the region, and all that it contains, take part or not.
    public func setEnabled(_ isEnabled: Bool) {
        memory.change { if Self.assign(isEnabled, to: &enabled) { changed() } }
    }

    /// Lets the guest only read the region and all that it contains, or write it too. A ROM stays read-only.
    public func setReadOnly(_ isReadOnly: Bool) {
        if case .rom = kind { return }
        memory.change { if Self.assign(isReadOnly, to: &readOnly) { changed() } }
    }

    /// Says whether what is written stays when the power goes.
    public func setNonvolatile(_ isNonvolatile: Bool) {
        memory.change { if Self.assign(isNonvolatile, to: &nonvolatile) { changed() } }
    }

    /// Keeps the region from being mapped for the DMA of devices, though the guest's processors see it.
    public func setHiddenFromDevices(_ isHidden: Bool) {
        memory.change { if Self.assign(isHidden, to: &hidden) { changed() } }
    }

    /// - Returns: whether the property had another value.
    private static func assign(_ value: Bool, to property: inout Bool) -> Bool {
        defer { property = value }
        return property != value
    }

    /// Shows another part of the region behind an alias.
    /// - Throws: ``GuestMemoryError/wrongKind(_:)`` if it isn't an alias.
    public func setAliasOffset(_ offset: UInt64) throws(GuestMemoryError) {
        guard case .alias = kind else { throw .wrongKind(name) }
        memory.change {
            guard aliasOffset != offset else { return }
            aliasOffset = offset
            changed()
        }
    }

    /// Starts or ends the noting of written pages for clients other than a migration, which notes all.
    /// - Throws: ``GuestMemoryError/wrongKind(_:)`` if it isn't RAM.
    public func setLogging(_ clients: DirtyClients, _ isOn: Bool) throws(GuestMemoryError) {
        guard isRAM else { throw .wrongKind(name) }
        memory.change {
            let old = logging
            let own = clients.subtracting(.migration)
            if isOn { logging.formUnion(own) } else { logging.subtract(own) }
            if logging != old { changed() }
        }
    }

    /// Whether this region contains another one, or shows it through aliases.
    func reaches(_ other: MemoryRegion) -> Bool {
        if self === other { return true }
        if case .alias(let target, _) = kind, target.reaches(other) { return true }
        return children.regions.contains { $0.reaches(other) }
    }

    /// Tells every space in which the region can be seen that all of it may look different.
    func changed() { changed(0, length) }

    private func changed(_ first: UInt64, _ last: UInt64) {
        guard first <= last else { return }
        for entry in spaces { entry.space?.changed(first, last) }
        if let parent = parentOrNil {
            let offset = placement.offset
            // Both sums fit: the child ends within the 64-bit space.
            parent.changed(offset + first, min(offset + last, parent.length))
        }
        for entry in aliases {
            guard let alias = entry.region else { continue }
            let (end, overflow) = alias.aliasOffset.addingReportingOverflow(alias.length)
            let low = max(first, alias.aliasOffset)
            let high = min(last, overflow ? .max : end)
            if low <= high { alias.changed(low - alias.aliasOffset, high - alias.aliasOffset) }
        }
    }
}
