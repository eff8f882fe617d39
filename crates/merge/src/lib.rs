//! Frames as channels: reads multilayer EXR of any Blender version.
