// Faces: find, judge the quality, turn into a template.  Without OpenCV at build time it never loads.
#pragma once

#include <memory>
#include <string>

#include "image.h"
#include "models.h"

extern "C" {
#include "net/face_protocol.h"
}

class Engine {
public:
	virtual ~Engine() = default;
	// Fills verdict, measures and template.
	virtual void examine(const Image &image, face_purpose purpose, face_answer &ret) = 0;
	const KnownModel *recogniser = nullptr;
};

// nullptr: one of the two models is missing or cannot be loaded; `message` says which.
std::unique_ptr<Engine> load_engine(const std::vector<FoundModel> &models, std::string &message);
