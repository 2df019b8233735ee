// The first file of DeviceModel.
