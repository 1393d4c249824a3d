// YuNet finds the face and its five points over cv::dnn (its anchor-free heads are decoded here, as OpenCV's own wrapper of Debian 12
// cannot read this model), a similarity transform brings it upright to 112 x 112, and the recogniser makes a template of it.
//
// One thread, and everything that OpenCV makes lazily is made by warm_up(), before the sandbox closes.
#include "engine.h"

#ifndef WITH_OPENCV

std::unique_ptr<Engine> load_engine(const std::vector<FoundModel> &, std::string &message)
{
	message = "built without OpenCV: pictures are checked, faces are not";
	return nullptr;
}

#else

#include <algorithm>
#include <cmath>

#include <opencv2/dnn.hpp>
#include <opencv2/imgproc.hpp>

namespace {

enum { DETECT_SIDE = 640, DETECT_STEP = 32, CROP = 112 };
constexpr float SCORE_MIN = 0.7f, OVERLAP_MAX = 0.3f;
constexpr float SECOND_FACE_MIN = 0.3f;            // of the first one's width: who stands behind does not count
constexpr float FACE_PX_MIN = 64;                  // width in the decoded picture
constexpr float YAW_MAX = 25, ROLL_MAX = 40;       // degrees
constexpr float SHARPNESS_MIN = 25;                // variance of the Laplacian of the crop
constexpr float LIGHT_MIN = 40, LIGHT_MAX = 220, CONTRAST_MIN = 12;

struct Face {
	cv::Rect2f box;
	cv::Point2f points[5]; // the person's right eye, left eye, nose, right and left corner of the mouth
	float score;
};

// Where the recognisers were trained to see those points.
const cv::Point2f template_points[5] = {{38.2946f, 51.6963f}, {73.5318f, 51.5014f}, {56.0252f, 71.7366f}, {41.5493f, 92.3655f},
	{70.7299f, 92.2041f}};

// The similarity transform (turn, scale, shift) that brings `from` closest to the template, by least squares.
cv::Matx23f align(const cv::Point2f *from)
{
	cv::Point2f a(0, 0), b(0, 0);
	for (int i = 0; i < 5; i++) {
		a += from[i] * 0.2f;
		b += template_points[i] * 0.2f;
	}
	float dot = 0, cross = 0, norm = 0;
	for (int i = 0; i < 5; i++) {
		cv::Point2f p = from[i] - a, q = template_points[i] - b;
		dot += p.x * q.x + p.y * q.y;
		cross += p.x * q.y - p.y * q.x;
		norm += p.x * p.x + p.y * p.y;
	}
	float c = dot / norm, s = cross / norm;
	return cv::Matx23f(c, -s, b.x - c * a.x + s * a.y, s, c, b.y - s * a.x - c * a.y);
}

class OpenCvEngine : public Engine {
public:
	OpenCvEngine(const FoundModel &detector_file, const FoundModel &recogniser_file)
	{
		detector = cv::dnn::readNetFromONNX(detector_file.path);
		net = cv::dnn::readNetFromONNX(recogniser_file.path);
		recogniser = recogniser_file.model;
	}

	void warm_up()
	{
		cv::Mat noise(480, 640, CV_8UC3);
		cv::theRNG().state = 1;
		cv::randu(noise, 0, 256);
		find(noise);
		measure(noise(cv::Rect(0, 0, CROP, CROP)));
		embed(noise(cv::Rect(0, 0, CROP, CROP)).clone());
		cv::Mat turned;
		cv::warpAffine(noise, turned, align(template_points), cv::Size(CROP, CROP), cv::INTER_LINEAR);
	}

	void examine(const Image &image, face_purpose purpose, face_answer &ret) override
	{
		cv::Mat rgb(image.height, image.width, CV_8UC3, const_cast<uint8_t *>(image.pixels.data()));
		std::vector<Face> faces = find(rgb);
		if (faces.empty()) {
			ret.verdict = FACE_NONE;
			return;
		}
		const Face &f = faces[0];
		ret.face_px = f.box.width;
		cv::Mat crop;
		cv::warpAffine(rgb, crop, align(f.points), cv::Size(CROP, CROP), cv::INTER_LINEAR);
		Measures m = measure(crop);
		ret.yaw = yaw(f);
		ret.sharpness = m.sharpness;
		ret.light = m.light;
		ret.verdict = judge(faces, purpose, ret.yaw, m);
		if (ret.verdict != FACE_GOOD)
			return;
		cv::Mat v = embed(crop);
		ret.numbers = uint32_t(v.total());
		for (uint32_t i = 0; i < ret.numbers; i++)
			ret.face_template[i] = v.at<float>(0, int(i));
	}

private:
	struct Measures {
		float sharpness, light, contrast;
	};
	cv::dnn::Net detector, net;

	static float roll(const Face &f)
	{
		cv::Point2f d = f.points[1] - f.points[0];
		return float(std::atan2(d.y, d.x) * 180 / CV_PI);
	}

	// From how far the nose lies off the middle of the eyes, along the line between them; positive to the person's left.
	static float yaw(const Face &f)
	{
		cv::Point2f eyes = f.points[1] - f.points[0], nose = f.points[2] - (f.points[0] + f.points[1]) * 0.5f;
		float ratio = (eyes.x * nose.x + eyes.y * nose.y) / std::max(1.0f, eyes.x * eyes.x + eyes.y * eyes.y);
		return float(std::asin(std::clamp(1.5f * ratio, -1.0f, 1.0f)) * 180 / CV_PI);
	}

	static Measures measure(const cv::Mat &crop)
	{
		cv::Mat grey, edges;
		cv::Scalar mean, deviation;
		cv::cvtColor(crop, grey, cv::COLOR_RGB2GRAY);
		cv::Laplacian(grey, edges, CV_32F);
		cv::meanStdDev(edges, mean, deviation);
		float sharpness = float(deviation[0] * deviation[0]);
		cv::meanStdDev(grey, mean, deviation);
		return {sharpness, float(mean[0]), float(deviation[0])};
	}

	static face_verdict judge(const std::vector<Face> &faces, face_purpose purpose, float yaw_degrees, const Measures &m)
	{
		const Face &f = faces[0];
		if (faces.size() > 1 && faces[1].box.width > SECOND_FACE_MIN * f.box.width)
			return FACE_SEVERAL;
		if (f.box.width < FACE_PX_MIN)
			return FACE_TOO_SMALL;
		if (purpose != FACE_TURNED && (std::abs(yaw_degrees) > YAW_MAX || std::abs(roll(f)) > ROLL_MAX))
			return FACE_OFF_POSE;
		if (m.light < LIGHT_MIN || m.light > LIGHT_MAX || m.contrast < CONTRAST_MIN)
			return FACE_BAD_LIGHT;
		return m.sharpness < SHARPNESS_MIN ? FACE_BLURRED : FACE_GOOD;
	}

	cv::Mat embed(const cv::Mat &crop)
	{
		cv::Mat blob;
		if (recogniser->prepare == Prepare::ImageNet) {
			cv::Mat scaled;
			crop.convertTo(scaled, CV_32FC3, 1.0 / 255);
			cv::subtract(scaled, cv::Scalar(0.485, 0.456, 0.406), scaled);
			cv::divide(scaled, cv::Scalar(0.229, 0.224, 0.225), scaled);
			blob = cv::dnn::blobFromImage(scaled);
		} else {
			blob = cv::dnn::blobFromImage(crop);
		}
		net.setInput(blob);
		cv::Mat out = net.forward().reshape(1, 1).clone();
		double norm = cv::norm(out);
		if (norm > 0)
			out /= norm;
		return out;
	}

	// One stride of the detector's heads.
	void read_heads(const std::vector<cv::Mat> &heads, int scale, int stride, int columns, int rows, std::vector<Face> &out)
	{
		const float *classes = heads[scale].ptr<float>(), *objects = heads[3 + scale].ptr<float>();
		const float *boxes = heads[6 + scale].ptr<float>(), *points = heads[9 + scale].ptr<float>();
		float s = float(stride);

		for (int i = 0; i < rows * columns; i++) {
			float score = std::sqrt(std::clamp(classes[i], 0.f, 1.f) * std::clamp(objects[i], 0.f, 1.f));
			if (score < SCORE_MIN)
				continue;
			float c = float(i % columns), r = float(i / columns);
			const float *b = boxes + 4 * i, *k = points + 10 * i;
			float w = std::exp(b[2]) * s, h = std::exp(b[3]) * s;
			Face f;
			f.score = score;
			f.box = cv::Rect2f((c + b[0]) * s - w / 2, (r + b[1]) * s - h / 2, w, h);
			for (int p = 0; p < 5; p++)
				f.points[p] = cv::Point2f((c + k[2 * p]) * s, (r + k[2 * p + 1]) * s);
			out.push_back(f);
		}
	}

	static bool overlap(const Face &a, const Face &b)
	{
		float common = (a.box & b.box).area();
		return common > OVERLAP_MAX * (a.box.area() + b.box.area() - common);
	}

	// Widest first, in pixels of `rgb`.
	std::vector<Face> find(const cv::Mat &rgb)
	{
		static const char *const names[] = {"cls_8", "cls_16", "cls_32", "obj_8", "obj_16", "obj_32", "bbox_8", "bbox_16", "bbox_32",
			"kps_8", "kps_16", "kps_32"};
		float scale = std::min(1.f, float(DETECT_SIDE) / float(std::max(rgb.cols, rgb.rows)));
		cv::Mat small = rgb, padded;
		if (scale < 1)
			cv::resize(rgb, small, cv::Size(), scale, scale, cv::INTER_AREA);
		int width = (small.cols + DETECT_STEP - 1) / DETECT_STEP * DETECT_STEP;
		int height = (small.rows + DETECT_STEP - 1) / DETECT_STEP * DETECT_STEP;
		cv::copyMakeBorder(small, padded, 0, height - small.rows, 0, width - small.cols, cv::BORDER_CONSTANT, 0);
		std::vector<cv::Mat> heads;
		std::vector<Face> all, kept;
		detector.setInput(cv::dnn::blobFromImage(padded, 1, cv::Size(), cv::Scalar(), true)); // it wants BGR
		detector.forward(heads, std::vector<cv::String>(std::begin(names), std::end(names)));
		for (int i = 0; i < 3; i++)
			read_heads(heads, i, 8 << i, width / (8 << i), height / (8 << i), all);
		std::sort(all.begin(), all.end(), [](const Face &a, const Face &b) { return a.score > b.score; });
		for (const Face &f : all)
			if (std::none_of(kept.begin(), kept.end(), [&](const Face &k) { return overlap(f, k); }))
				kept.push_back(f);
		for (Face &f : kept) {
			f.box = cv::Rect2f(f.box.x / scale, f.box.y / scale, f.box.width / scale, f.box.height / scale);
			for (cv::Point2f &p : f.points)
				p *= 1 / scale;
		}
		std::sort(kept.begin(), kept.end(), [](const Face &a, const Face &b) { return a.box.width > b.box.width; });
		return kept;
	}
};

} // namespace

std::unique_ptr<Engine> load_engine(const std::vector<FoundModel> &models, std::string &message)
{
	message = "no known face detector in the models directory";
	cv::setNumThreads(1);
	for (const FoundModel &d : models) {
		if (d.model->kind != Kind::Detector)
			continue;
		message = "no known face recogniser in the models directory";
		for (const FoundModel &r : models) {
			if (r.model->kind != Kind::Recogniser)
				continue;
			try {
				auto engine = std::make_unique<OpenCvEngine>(d, r);
				engine->warm_up();
				message = std::string(d.model->name) + ", " + r.model->name;
				return engine;
			} catch (const std::exception &) {
				message = std::string(r.model->name) + " cannot be loaded by this version of OpenCV";
			}
		}
	}
	return nullptr;
}

#endif
